"""Tests of check.py and table.py with a program that fails in every way; no GPU is needed."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUITE = """#!/bin/sh
echo "norm.cu $1" >>"$KAMACITE_RECORD"
echo "pool.cu pool" >>"$KAMACITE_RECORD"
case "$1" in
  good) echo "norm.cu shared" >>"$KAMACITE_RECORD" ;;
  wrong) echo "norm.cu shared" >>"$KAMACITE_RECORD"; printf "thread 'wrong' panicked at a.rs:1:\\nexpected 1, got 2\\n"; exit 101 ;;
  early) [ "${KAMACITE_EARLY:-}" = 0 ] || exit 101 ;;
  hang) sleep 60 & sleep 60 ;;
  fault) kill -SEGV $$ ;;
  gone) echo "test result: ok. 0 passed"; exit 0 ;;
esac
echo "test result: ok. 1 passed"
"""


class Kit(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.kit = Path(self.folder.name)
        self.out = self.kit / "out"
        self.out.mkdir()
        (self.kit / "suite").write_text(SUITE)
        (self.kit / "suite").chmod(0o755)

    def tearDown(self):
        self.folder.cleanup()

    def check(self, *names, seconds="30", pattern=""):
        (self.kit / "tests.txt").write_text("".join(f"suite {name}\n" for name in names))
        call = [sys.executable, HERE / "check.py", self.kit, self.out, seconds, pattern]
        return subprocess.run(call, env={**os.environ, "TEST_SECONDS": "1", "WORKERS": "4"}, check=False).returncode

    def table(self):
        """results.json as a strict reader sees it, and what is printed."""
        call = [sys.executable, HERE / "table.py", self.out, "abc"]
        text = subprocess.run(call, check=True, capture_output=True, text=True).stdout

        def refuse(word):
            raise ValueError(word)
        return json.loads((self.out / "results.json").read_text(), parse_constant=refuse), text

    def test_each_way_to_fail_is_told(self):
        self.assertEqual(self.check("good", "wrong", "early", "hang", "fault", "gone"), 1)
        results, text = self.table()
        outcomes = {t["name"]: (t["ok"], t["outcome"], t.get("alone")) for t in results["tests"]}
        self.assertEqual(outcomes, {
            "good": (True, "ok", None), "wrong": (False, "fails", "fails"), "early": (False, "fails", "ok"), "hang": (False, "hangs", "hangs"),
            "fault": (False, "ends by signal 11", "ends by signal 11"), "gone": (False, "fails", "fails"),
        })
        right = {k["name"]: k["ok"] for k in results["kernels"]}
        self.assertEqual(right, {"norm.cu good": True, "pool.cu pool": False, "norm.cu shared": False, **{f"norm.cu {n}": False for n in outcomes if n != "good"}})
        self.assertIn("FAILED wrong: fails, alone and without early launches: fails; expected 1, got 2", text)
        self.assertIn("FAILED early: fails, alone and without early launches: ok", text)

    def test_what_has_run_is_not_run_again_and_the_end_is_kept(self):
        self.assertEqual(self.check("good", "other", pattern="other"), 0)
        self.assertEqual(self.check("good", "other", "wrong", pattern="good|other"), 0)
        self.assertEqual([t["name"] for t in self.table()[0]["tests"]], ["other", "good"])
        self.assertEqual(self.check("good", "other", "third", seconds="1"), 1, "no time for the third")
        self.assertEqual(len(self.table()[0]["tests"]), 2)

    def test_nothing_at_all_is_a_table_too(self):
        results, text = self.table()
        self.assertEqual((results["kernels"], results["tests"], results["card"]), ([], [], ""))
        self.assertIn("no card", text)

    def test_broken_cut_and_missing_numbers(self):
        product = '{"what":"gemm","case":"BF16 nn 4096","us":200,"flops":1e11,"bytes":1e8}\n'
        (self.out / "ours-gemm.out").write_text(
            product + '{"what":"error","case":"BF16 nn 4096","error":null}\n{"what":"error","case":"FP32 nn 4096","error":1e-7}\n'
            '{"what":"error","case":"FP16 nn 4096","error":0.7}\n{"case":"of nothing"}\n7\n{"what":"gemm","case":"BF16 nt 40')
        (self.out / "peer-products.out").write_text(
            '{"what":"peer","torch":"3"}\n{"what":"gemm","case":"BF16 nn 4096","peer":"cublas","us":100}\n'
            '{"what":"error","case":"FP32 nn 4096","peer":"cublas","error":NaN}\n{"what":"gemm","case":"x","peer":"cublas","us":NaN}\n')
        (self.out / "exits.txt").write_text("ours-gemm 1 3\npeer-gemm 124 40\nours-conv 125 0\nour")
        (self.out / "ours-gemm.err").write_text("gemm FP16 nt 4096: refused\n")
        (self.out / "card.txt").write_text("NVIDIA X, 600.1\n")
        results, text = self.table()
        self.assertEqual((results["card"], results["driver"], results["commit"]), ("NVIDIA X", "600.1", "abc"))
        self.assertEqual(results["exits"], {"ours-gemm": 1, "peer-gemm": 124, "ours-conv": 125})
        self.assertEqual(results["missed"], ["gemm BF16 nn 4096", "error BF16 nn 4096", "error FP16 nn 4096"])
        for words in ("ours-gemm: gemm FP16 nt 4096: refused", "peer-gemm 124 (time was up)", "ours-conv 125 (not begun)"):
            self.assertIn(words, text)
        self.assertIn("BROKEN: not a number", (self.out / "table.txt").read_text())


if __name__ == "__main__":
    unittest.main()
