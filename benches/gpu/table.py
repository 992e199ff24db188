"""The tables and results.json from a run of run.sh: table.py FOLDER COMMIT EXITS"""
import datetime
import json
import re
import sys
from pathlib import Path

# The goals of the issue: what of a case's name, which peers, the least ratio (peer's time over ours).
GOALS = [
    (r"gemm BF16 \w+ \d+", r"cublas", 1.0), (r"gemm FP32 \w+ \d+", r"cublas", 0.9), (r"conv BF16 .*", r"cudnn", 0.9),
    (r"few .*", r"cudnn", 1.5), (r"step lenet \w+ 64", r"torch graph", 3.0), (r"network .*", r"torch compile.*", 1.1),
]
# The most microseconds, by name.
LIMITS = [(r"step lenet \w+ 64", 25), (r"step iris .*", 4), (r"host .*", 5)]
# The least share of the copy bandwidth.
COPIES = r"(memory|optim) .*", 0.92


def lines(path):
    """The JSON lines of a file; a line that was cut off is left out."""
    out = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            out.append(json.loads(line))
        except ValueError:
            continue
    # A difference of two times that noise has swallowed is no time.
    return [row for row in out if isinstance(row, dict) and row.get("us", 1) > 0]


def kernels(folder, passed):
    """Kernels that ran on this card: lines `gemm_f32.cu gemm_nn_64_f32` from the suite."""
    record = folder / "kernels.txt"
    names = sorted(set(record.read_text().splitlines())) if record.exists() else []
    return [{"name": name, "ok": passed} for name in names]


def peaks(rows):
    """Measured: bytes per second of copies, operations per second of the best product in bf16; of all programs."""
    copies = [r["bytes"] / r["us"] * 1e6 for r in rows if r["what"] == "copy" and r.get("bytes")]
    products = [r["flops"] / r["us"] * 1e6 for r in rows if r["what"] == "gemm" and r["case"].startswith("BF16") and r.get("flops")]
    return max(copies, default=0), max(products, default=0)


def verdict(name, row, rivals, copy):
    """Whether a case reaches its goals; None where it has none."""
    found = []
    for pattern, peer, least in GOALS:
        times = [r["us"] for r in rivals if re.fullmatch(peer, r["peer"])]
        if re.fullmatch(pattern, name) and times:
            found.append(min(times) / row["us"] >= least)
    found += [row["us"] <= limit for pattern, limit in LIMITS if re.fullmatch(pattern, name)]
    if re.fullmatch(COPIES[0], name) and copy:
        found.append(row["bytes"] / row["us"] * 1e6 / copy >= COPIES[1])
    return all(found) if found else None


def table(ours, theirs):
    """Rows of text, best peer first, and the cases that miss a goal."""
    work = {(r["what"], r["case"]): r for r in ours if "us" in r}
    for row in theirs:  # peers do the same work
        like = work.get((row["what"], row.get("case")), {})
        row.update({key: like[key] for key in ("flops", "bytes") if key in like})
    copy, product = peaks([*work.values(), *theirs])
    out, missed = [f"measured peaks: copy {copy / 1e12:.3f} TB/s, bf16 products {product / 1e12:.1f} TFLOP/s"], []
    for (what, name), row in work.items():
        rivals = sorted((t for t in theirs if (t["what"], t.get("case")) == (what, name) and "us" in t), key=lambda t: t["us"])
        rates = []
        if row["flops"] and what in ("gemm", "conv", "few", "network"):
            rates.append(f"{row['flops'] / row['us'] / 1e6:8.1f} TFLOP/s {row['flops'] / row['us'] * 1e6 / product:5.0%}" if product else "")
        if row["bytes"] and what in ("copy", "memory", "optim", "few"):
            rates.append(f"{row['bytes'] / row['us'] / 1e6:6.3f} TB/s {row['bytes'] / row['us'] * 1e6 / copy:5.0%}" if copy else "")
        text = "  ".join(f"{t['peer']} {t['us']:.1f} ({t['us'] / row['us']:.2f}x)" for t in rivals)
        good = verdict(f"{what} {name}", row, rivals, copy)
        mark = {True: "ok", False: "MISSED", None: ""}[good]
        if good is False:
            missed.append(f"{what} {name}")
        out.append(f"{what:8}{name:28}{row['us']:11.2f} us  {'  '.join(rates):34} {mark:7}{text}")
    errors = {r["case"]: r["error"] for r in ours if r["what"] == "error"}
    exact = {r["case"]: r["error"] for r in theirs if r["what"] == "error"}
    for name, error in errors.items():
        rival = exact.get(name.replace("FP32x3", "FP32"))
        ratio = f"  cuBLAS {rival:.3e}, ours is {error / rival:.2f} of it" if rival else ""
        out.append(f"error   {name:28}{error:11.3e} of the result{ratio}")
        if name.startswith("FP32x3") and rival and error > 4 * rival:
            missed.append(f"error {name}")
    for name, row in [(name, row) for (what, name), row in work.items() if what == "gemm" and name.startswith("FP32x3")]:
        rival = [t["us"] for t in theirs if t["what"] == "gemm" and t.get("case") == name.replace("FP32x3", "FP32")]
        if rival:
            out.append(f"3xTF32  {name:28}{rival[0] / row['us']:6.2f} x cuBLAS in f32")
            missed += [f"3xTF32 {name}"] if rival[0] / row["us"] < 1.8 else []
    return out, missed


def main():
    folder, commit, exits = Path(sys.argv[1]), sys.argv[2], dict(e.split("=") for e in sys.argv[3].split())
    ours = [row for path in sorted(folder.glob("kamacite-*.jsonl")) for row in lines(path)]
    theirs = [row for path in sorted(folder.glob("peer-*.jsonl")) for row in lines(path)]
    rivals = [row for row in theirs if row["what"] != "peer"]
    log = (folder / "suite.log").read_text(errors="replace") if (folder / "suite.log").exists() else ""
    tests = [{"name": name, "ok": found == "ok"} for name, found in re.findall(r"^test (\S+) \.\.\. (ok|FAILED)", log, re.M)]
    card, _, driver = (folder / "card.txt").read_text().strip().partition(", ")
    text, missed = table(ours, rivals)
    result = {
        "date": datetime.date.today().isoformat(), "card": card, "driver": driver, "commit": commit, "exits": exits,
        "kernels": kernels(folder, exits.get("suite") == "0"), "tests": tests, "kamacite": ours, "peers": theirs, "missed": missed,
    }
    (folder / "results.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "table.txt").write_text("\n".join(text) + "\n")
    print(f"{card}, driver {driver}; exits {exits}; {sum(t['ok'] for t in tests)} of {len(tests)} tests")
    print("\n".join(text))
    print(f"{len(missed)} cases miss a goal: {', '.join(missed) or 'none'}")


if __name__ == "__main__":
    main()
