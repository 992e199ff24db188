"""What a run of run.sh has brought so far: table.py FOLDER COMMIT

Writes results.json and table.txt there and prints the card, exits, failed tests and missed goals. Anything may be missing or cut off.
"""
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


def text_of(path):
    return path.read_text(errors="replace").strip() if path.exists() else ""


def lines(path, needed):
    """The JSON lines of a file that have these fields; a line that was cut off is left out. What is no number in JSON is None."""
    out = []
    for line in text_of(path).splitlines():
        try:
            out.append(json.loads(line, parse_constant=lambda _: None))
        except ValueError:
            continue
    return [row for row in out if isinstance(row, dict) and all(key in row for key in needed)]


def timed(row):
    """A difference of two times that noise has swallowed is no time."""
    return "case" in row and isinstance(row.get("us"), (int, float)) and row["us"] > 0


def tests(folder):
    """The tests of check.py, with what came of the second attempt where there was one."""
    found = {}
    for line in lines(folder / "tests.jsonl", ["program", "name", "outcome"]):
        key = line["program"], line["name"]
        if line.get("again"):
            if key in found:
                found[key]["alone"] = line["outcome"]
        else:
            found[key] = {**line, "ok": line["outcome"] == "ok"}
    return list(found.values())


def kernels(run):
    """Kernels that ran on this card, `gemm_f32.cu gemm_nn_64_f32`: right if every test that launched it passed."""
    right = {}
    for test in run:
        for name in test.get("kernels", []):
            right[name] = right.get(name, True) and test["ok"]
    return [{"name": name, "ok": ok} for name, ok in sorted(right.items())]


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
    if re.fullmatch(COPIES[0], name) and copy and row.get("bytes"):
        found.append(row["bytes"] / row["us"] * 1e6 / copy >= COPIES[1])
    return all(found) if found else None


def table(ours, theirs):
    """Rows of text, best peer first, and the cases that miss a goal."""
    work = {(r["what"], r["case"]): r for r in ours if timed(r)}
    wrong = {kind: {r["case"]: r["error"] for r in rows if r["what"] == "error" and "case" in r and "error" in r}
             for kind, rows in (("ours", ours), ("theirs", theirs))}
    theirs = [row for row in theirs if timed(row) and "peer" in row]
    for row in theirs:  # peers do the same work
        like = work.get((row["what"], row["case"]), {})
        row.update({key: like[key] for key in ("flops", "bytes") if key in like})
    copy, product = peaks([*work.values(), *theirs])
    out, missed = [f"measured peaks: copy {copy / 1e12:.3f} TB/s, bf16 products {product / 1e12:.1f} TFLOP/s"], []
    for (what, name), row in work.items():
        rivals = sorted((t for t in theirs if (t["what"], t["case"]) == (what, name)), key=lambda t: t["us"])
        rates = []
        if row.get("flops") and what in ("gemm", "conv", "few", "network"):
            rates.append(f"{row['flops'] / row['us'] / 1e6:8.1f} TFLOP/s {row['flops'] / row['us'] * 1e6 / product:5.0%}" if product else "")
        if row.get("bytes") and what in ("copy", "memory", "optim", "few"):
            rates.append(f"{row['bytes'] / row['us'] / 1e6:6.3f} TB/s {row['bytes'] / row['us'] * 1e6 / copy:5.0%}" if copy else "")
        text = "  ".join(f"{t['peer']} {t['us']:.1f} ({t['us'] / row['us']:.2f}x)" for t in rivals)
        good = verdict(f"{what} {name}", row, rivals, copy)
        mark = {True: "ok", False: "MISSED", None: ""}[good]
        if good is False:
            missed.append(f"{what} {name}")
        out.append(f"{what:8}{name:28}{row['us']:11.2f} us  {'  '.join(rates):34} {mark:7}{text}")
    for name, error in wrong["ours"].items():
        # Rounding to 8 bits is an error of 0.002.
        if error is None or error > 0.02:
            out.append(f"error   {name:28}     BROKEN: {'not a number' if error is None else f'{error:.3e} of the result'}")
            missed.append(f"error {name}")
            continue
        rival = wrong["theirs"].get(name.replace("FP32x3", "FP32"))
        ratio = f"  cuBLAS {rival:.3e}, ours is {error / rival:.2f} of it" if rival else ""
        out.append(f"error   {name:28}{error:11.3e} of the result{ratio}")
        if name.startswith("FP32x3") and rival and error > 4 * rival:
            missed.append(f"error {name}")
    for name, row in [(name, row) for (what, name), row in work.items() if what == "gemm" and name.startswith("FP32x3")]:
        rival = [t["us"] for t in theirs if t["what"] == "gemm" and t["case"] == name.replace("FP32x3", "FP32")]
        if rival:
            out.append(f"3xTF32  {name:28}{rival[0] / row['us']:6.2f} x cuBLAS in f32")
            missed += [f"3xTF32 {name}"] if rival[0] / row["us"] < 1.8 else []
    return out, missed


def exits_of(folder):
    """Lines `NAME CODE SECONDS`: the code by name."""
    found = [line.split() for line in text_of(folder / "exits.txt").splitlines()]
    return {words[0]: int(words[1]) for words in found if len(words) > 1 and words[1].isdigit()}


def said(folder, exits):
    """The first and the last words of what parts with an exit other than 0 had to say."""
    errors = [(name, text_of(folder / f"{name}.err").splitlines()) for name, code in exits.items() if code]
    return [f"  {name}: {line[:200]}" for name, found in errors for line in dict.fromkeys([*found[:2], *found[-1:]])]


def summary(card, driver, exits, errors, listed, run, known, missed):
    """What is to be seen at once. Not too long: the machine that ran this may show no more."""
    words = {0: "", 124: " (time was up)", 125: " (not begun)", 137: " (killed)"}
    bad = [f"{name} {code}{words.get(code, '')}" for name, code in exits.items() if code]
    failed = [t for t in run if not t["ok"]]
    idle = sum(t["ok"] and not t.get("kernels") for t in run)
    wrong = [k["name"] for k in known if not k["ok"]]
    out = [f"{card or 'no card'}, driver {driver or 'unknown'}", f"{len(exits)} parts ran, exits other than 0: {', '.join(bad) or 'none'}"]
    out += errors[:20]
    out.append(f"{len(run)} of {listed} tests ran, {len(run) - len(failed)} passed, {idle} of these without a kernel; "
               f"{len(known) - len(wrong)} of {len(known)} kernels right")
    for t in failed[:40]:
        out.append(f"FAILED {t['name']}: {t['outcome']}, alone and without early launches: {t.get('alone', 'not tried')}; {t.get('said', '')[:120]}")
    if len(failed) > 40:
        out.append(f"and {len(failed) - 40} more")
    return [*out, f"{len(missed)} cases miss a goal: {', '.join(missed)[:2500] or 'none'}"]


def main():
    folder, commit = Path(sys.argv[1]), sys.argv[2]
    ours = [row for path in sorted(folder.glob("ours-*.out")) for row in lines(path, ["what"])]
    theirs = [row for path in sorted(folder.glob("peer-*.out")) for row in lines(path, ["what"])]
    card, _, driver = text_of(folder / "card.txt").partition(", ")
    exits, run = exits_of(folder), tests(folder)
    known = kernels(run)
    text, missed = table(ours, theirs)
    result = {
        "date": datetime.date.today().isoformat(), "card": card, "driver": driver, "commit": commit, "exits": exits,
        "kernels": known, "tests": run, "kamacite": ours, "peers": theirs, "missed": missed,
    }
    (folder / "results.json").write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    (folder / "table.txt").write_text("\n".join(text) + "\n")
    listed = len(text_of(folder / "tests.txt").splitlines())
    print("\n".join(summary(card, driver, exits, said(folder, exits), listed, run, known, missed)))


if __name__ == "__main__":
    main()
