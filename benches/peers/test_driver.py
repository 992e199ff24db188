"""Tests of the driver's arithmetic; no peer is needed. An argument is a result line of kamacite's runner, to be checked too."""
import json
import os
import sys
import unittest
import xml.dom.minidom

import report
import stats
import workload

HERE = os.path.dirname(os.path.abspath(__file__))
NETWORKS = json.load(open(os.path.join(HERE, "..", "workloads.json")))
RUNNER = sys.argv.pop(1) if len(sys.argv) > 1 else None
FIELDS = "peer variant version workload batch threads mode params params_spec macs import_s build_s first_step_s rq_wait steps_per_repeat " \
         "repeats samples_per_s min max steps_per_s peak_rss_mb"


def line(peer, rate, variant="v", threads=2, **more):
    return dict(dict(peer=peer, variant=variant, version="1", workload="W1", batch=8, threads=threads, mode="train", params=67, macs=56, import_s=0.0,
                     build_s=0.1, first_step_s=0.2, rq_wait=0.0, foreign=0.0, samples_per_s=rate, min=rate / 2, max=rate * 2, steps_per_s=rate / 8,
                     peak_rss_mb=10.0, processes=5, disturbed=0), **more)


def results(ours, theirs, **more):
    repeated, screened = [line("kamacite", ours), line("burn", theirs)], [line("torch", theirs / 4)]
    a, b, ratio = stats.compare(repeated[:1], repeated[1:])
    cell = dict(workload="W1", batch=8, mode="train", note="", kamacite=a, best=b, ratio=ratio, goal=1.5, repeated=repeated, screened=screened + repeated,
                refused={})
    return dict(dict(date="2026-01-01", machine=dict(cpu="X (R) 1", cores=2, system="s"), threads=[1, 2], optimizer="sgd", rounds=5, missing={}, asked=1,
                     cells=[cell], losses=[]), **more)


class Arithmetic(unittest.TestCase):
    def test_median(self):
        self.assertEqual(stats.median([3, 1, 2]), 2)
        self.assertEqual(stats.median([4, 1, 2, 3]), 2.5)
        self.assertRaises(ValueError, stats.median, [])

    def test_summary_takes_the_median_of_processes_and_the_extremes_of_blocks(self):
        s = stats.summary([line("a", 10), line("a", 30, peak_rss_mb=12.0), line("a", 20), dict(peer="a", error="no")])
        self.assertEqual((s["samples_per_s"], s["min"], s["max"], s["processes"], s["peak_rss_mb"]), (20, 5, 60, 3, 12.0))
        self.assertIsNone(stats.summary([dict(peer="a", error="no")]))

    def test_each_side_counts_with_its_best(self):
        a, b, ratio = stats.compare([line("kamacite", 5, threads=1), line("kamacite", 6)], [line("b", 3), line("c", 4)])
        self.assertEqual((a["threads"], b["peer"], ratio), (2, "c", 1.5))
        self.assertIsNone(stats.compare([line("kamacite", 5)], [])[2])

    def test_last_line(self):
        self.assertEqual(stats.result_line([2.0, 0.5, 1.0], 24, {"jax", "torch"}),
                         "RESULT cells=24 won=2 min_ratio=0.50 median_ratio=1.00 peers=torch,jax")
        self.assertEqual(stats.result_line([0.999], 1, set()), "RESULT cells=1 won=0 min_ratio=1.00 median_ratio=1.00 peers=none")

    def test_mismatch(self):
        self.assertAlmostEqual(stats.mismatch([1.0, 2.0], [1.0, 1.9]), 0.05)
        self.assertEqual(stats.loss_verdict([2.0, 1.0], [2.0, 1.0]), "ok")
        self.assertEqual(stats.loss_verdict([2.0, 1.0], [2.0, 1.002]), "MISMATCH")
        self.assertEqual(stats.loss_verdict([2.0, 1.0], [2.0, float("nan")]), "MISMATCH")
        self.assertEqual(stats.loss_verdict([2.0, 1.999], [2.0, 1.999]), "WEAK")
        self.assertRaises(ValueError, stats.mismatch, [1.0], [1.0, 2.0])

    def test_another_network_is_refused(self):
        ours = line("kamacite", 1)
        self.assertIsNone(stats.refusal(line("torch", 1), ours))
        self.assertIn("68 parameters", stats.refusal(line("torch", 1, params=68), ours))
        self.assertIn("57 multiply", stats.refusal(line("torch", 1, macs=57), ours))
        self.assertIsNotNone(stats.refusal(line("torch", 1, macs=None), ours))
        self.assertIsNone(stats.refusal(line("cianna", 1, macs=None), ours))
        self.assertIsNone(stats.refusal(line("cianna", 1, macs=None, workload="W9", params=12621373), line("kamacite", 1, params=12622909)))
        self.assertIsNotNone(stats.refusal(line("cianna", 1, macs=None, workload="W9"), line("kamacite", 1, params=12622909)))

    def test_who_is_repeated(self):
        lines = [line("kamacite", 999), line("a", 100), line("a", 96, "w"), line("a", 90, "u"), line("b", 85), line("c", 84), line("d", 10)]
        self.assertEqual(stats.contenders(lines), [("a", "v", 2), ("a", "w", 2), ("b", "v", 2)])
        self.assertEqual(stats.contenders([line("a", 100), line("b", 70)]), [("a", "v", 2)])
        self.assertEqual(len(stats.contenders(lines, everything=True)), 6)

    def test_who_is_tried_on_one_thread(self):
        lines = [line("kamacite", 1000, steps_per_s=10.0), line("a", 100), line("a", 110, "w"), line("b", 50), line("c", 56), line("d", 20)]
        self.assertEqual(stats.one_thread_wanted(lines, 2), dict(a="w", c="v"))
        self.assertEqual(len(stats.one_thread_wanted(lines + [line("kamacite", 1, threads=1, steps_per_s=5000.0)], 2)), 4)


    def test_disturbed_measurements_are_counted(self):
        busy = line("a", 1, foreign=0.08, steal=0.05)
        self.assertEqual([stats.disturbed(busy), stats.disturbed(line("a", 1, foreign=0.1))], [True, False])
        self.assertEqual(stats.summary([busy, line("a", 1)])["disturbed"], 1)
        done = results(1.0, 1.0)
        self.assertEqual(report.quiet(done), "No measurement was disturbed.")
        done["cells"][0]["repeated"][0]["disturbed"] = 2
        self.assertIn("DISTURBED: during 2 of 10", report.quiet(done))


class Networks(unittest.TestCase):
    def test_shapes_and_counts_are_those_of_the_file(self):
        for name, spec in NETWORKS.items():
            self.assertEqual(list(workload.shapes(spec))[-1][2], spec["output"], name)
            self.assertEqual(sum(workload.product(shape) for _, _, shape, _ in workload.parameters(spec)), spec["params"], name)

    def test_layers_behind_a_flattening(self):
        self.assertEqual(workload.before_flatten(NETWORKS["W4"]), {7: [16, 7, 7]})
        self.assertEqual(workload.before_flatten(NETWORKS["W1"]), {})

    def test_dropout_is_taken_out_of_a_copy(self):
        rates = lambda spec: [l["p"] for l in spec["layers"] if l["t"] == "dropout"]
        self.assertEqual((rates(workload.without_dropout(NETWORKS["W4"])), rates(NETWORKS["W4"])), ([0.0, 0.0], [0.5, 0.2]))


class Reports(unittest.TestCase):
    def test_a_lost_cell_is_said_to_be_lost(self):
        text = report.markdown(results(90.0, 100.0), "t")
        self.assertIn("**0.90** | 1.5, not reached", text)
        self.assertIn("RESULT cells=1 won=0 min_ratio=0.90 median_ratio=0.90 peers=torch,burn", text)
        self.assertIn("**1.60** | 1.5, reached", report.markdown(results(160.0, 100.0), "t"))

    def test_memory_that_is_larger_is_named(self):
        done = results(1.0, 1.0)
        self.assertIn("smallest in every cell", report.markdown(done, "t"))
        done["cells"][0]["repeated"][1]["peak_rss_mb"] = 9.0
        self.assertIn("burn has 9 MiB, kamacite 10 MiB", report.markdown(done, "t"))

    def test_chart_is_xml_with_a_bar_for_each_cell(self):
        bars = xml.dom.minidom.parseString(report.svg(results(90.0, 100.0))).getElementsByTagName("rect")
        self.assertEqual(len(bars), 3)  # background, bar, goal


@unittest.skipIf(RUNNER is None, "no line of kamacite's runner given")
class Runner(unittest.TestCase):
    def test_line(self):
        r = json.loads(RUNNER)
        self.assertEqual([f for f in FIELDS.split() if f not in r], [])
        self.assertEqual((r["peer"], r["workload"], r["params"], r["macs"]), ("kamacite", "W1", 67, 56))
        self.assertTrue(0 < r["min"] <= r["samples_per_s"] <= r["max"] and r["planned_bytes"] > 0)


if __name__ == "__main__":
    unittest.main()
