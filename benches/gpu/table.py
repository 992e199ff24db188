"""One table and results.json from a run of run.sh: table.py FOLDER COMMIT EXITS"""
import datetime
import json
import re
import sys
from pathlib import Path

folder, commit, exits = Path(sys.argv[1]), sys.argv[2], dict(e.split("=") for e in sys.argv[3].split())


def lines(name):
    path = folder / name
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")] if path.exists() else []


ours, theirs = lines("kamacite.jsonl"), lines("torch.jsonl")
log = (folder / "suite.log").read_text() if (folder / "suite.log").exists() else ""
tests = [{"name": name, "ok": verdict == "ok"} for name, verdict in re.findall(r"^test (\S+) \.\.\. (ok|FAILED)", log, re.M)]
card, _, driver = (folder / "card.txt").read_text().strip().partition(", ")
# Kernels that ran on this card: lines `gemm_f32.cu gemm_nn_64_f32` from the suite.
record = folder / "kernels.txt"
kernels = sorted(set(record.read_text().splitlines())) if record.exists() else []
passed = exits.get("suite") == "0"
result = {
    "date": datetime.date.today().isoformat(), "card": card, "driver": driver, "commit": commit, "exits": exits,
    "kernels": [{"name": name, "ok": passed} for name in kernels], "tests": tests, "kamacite": ours, "torch": theirs,
}
(folder / "results.json").write_text(json.dumps(result, indent=1) + "\n")

print(f"{card}, driver {driver}; exits {exits}; {sum(t['ok'] for t in tests)} of {len(tests)} tests")
for row in ours:
    if row["what"] == "gemm":
        peer = [t for t in theirs if t["what"] == "gemm" and t["precision"] == row["precision"] and t["n"] == row["n"]]
        ratio = f"{row['tflops'] / peer[0]['tflops']:.2f} of cuBLAS ({peer[0]['tflops']:.1f})" if peer else ""
        print(f"gemm {row['n']} {row['precision']:7} {row['tflops']:8.1f} TFLOP/s  {ratio}")
    if row["what"] == "lenet":
        peers = [t for t in theirs if t["what"] == "lenet" and (t["precision"], t["batch"]) == (row["precision"], row["batch"])]
        text = "  ".join(f"{t['peer']} {t['us_per_step']:.1f} ({t['us_per_step'] / row['us_per_step']:.2f}x)" for t in peers)
        print(f"lenet {row['precision']:5} batch {row['batch']:4} {row['us_per_step']:8.1f} us/step  {text}")
