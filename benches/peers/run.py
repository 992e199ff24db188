"""kamacite beside other frameworks, on the networks of ../workloads.json: `make bench`, or

    python3 benches/peers/run.py [--quick|--full] [--cells W4:train,W6:infer] [--peers torch,burn] [--seconds 0.6] [--rounds 5]

Writes ../results/<date>-<cpu>.json, .md and .svg; the last line of standard output is RESULT. What is measured, and how: docs/benchmarks.md.
"""
import argparse
import datetime
import json
import os
import platform
import re
import tempfile
import time

import extra
import measure
import programs
import report
import stats
import workload
from programs import HERE, say


def cli():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--quick", action="store_true", help="the default: repeat kamacite and the best two peers of a short pass over all")
    a.add_argument("--full", action="store_true", help="repeat every peer and variant (hours)")
    a.add_argument("--cells", help="workloads or workload:mode, with commas; all by default")
    a.add_argument("--peers", default=",".join(stats.NAMES))
    a.add_argument("--seconds", type=float, default=0.5, help="timed seconds in one process")
    a.add_argument("--rounds", type=int, default=5, help="processes for each program and cell")
    a.add_argument("--threads", default="1,2")
    a.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    a.add_argument("--networks", default=os.path.join(HERE, "..", "workloads.json"))
    a.add_argument("--no-losses", action="store_true")
    a.add_argument("--to-loss", action="store_true", help="also: time to a fixed validation loss on W4 and W6")
    a.add_argument("--scaling", action="store_true", help="also: kamacite on 1 to 16 threads")
    a.add_argument("--out", default=os.path.join(HERE, "..", "results"))
    o = a.parse_args()
    o.threads = sorted({min(int(t), os.cpu_count()) for t in o.threads.split(",")})
    o.peers = [p for p in o.peers.split(",") if p and p != "kamacite"]
    for p in o.peers:
        if p not in stats.NAMES:
            a.error("no peer %s; there are %s" % (p, " ".join(stats.NAMES)))
    o.networks = os.path.abspath(o.networks)
    return o


def cells(o, networks):
    """The cells asked for, in the order of the file."""
    options = ["--networks", o.networks, "--optimizer", o.optimizer]
    all_cells = [measure.Cell(w, b, mode, options) for w, spec in networks.items() for b in spec["batches"] for mode in ("train", "infer")]
    if not o.cells:
        return all_cells
    wanted = [c.split(":") for c in o.cells.split(",")]
    chosen = [c for c in all_cells if any(w[0].split("/")[0] == c.workload and ("/" not in w[0] or w[0].endswith("/%d" % c.batch)) and w[1:] in ([], [c.mode])
                                          for w in wanted)]
    if not chosen:
        raise SystemExit("--cells %s: no such cell" % o.cells)
    return chosen


def fast_available(commands):
    """Whether this kamacite has Math::Fast."""
    cell = measure.Cell("W1", 8, "infer")
    return "samples_per_s" in measure.lines(commands["kamacite"], "kamacite", cell, 1, ["fast"], ["--seconds", "0.01", "--repeats", "1"])[0]


def one_cell(o, commands, cell, spec, fast, goals):
    """Screens, repeats and compares one cell."""
    begun = time.time()
    screened = measure.screen(commands, cell, spec, o.threads, programs.variants, o.full)
    screened, refused = measure.verified(screened)
    ours = [("kamacite", "exact", t) for t in reversed(o.threads)] + ([("kamacite", "fast", max(o.threads))] if fast else [])
    chosen = ours + stats.contenders(screened, o.full)
    found = measure.rounds(commands, cell, chosen, o.rounds, ["--seconds", str(o.seconds), "--repeats", "5"])
    records = [r for r in (stats.summary(l) for l in found.values()) if r]
    exact = [r for r in records if r["peer"] == "kamacite" and r["variant"] == "exact"]
    a, b, ratio = stats.compare(exact, [r for r in records if r["peer"] != "kamacite"])
    goal = goals.get("%s/%d" % (cell.workload, cell.batch), {}).get(cell.mode) if o.optimizer == "sgd" else None
    out = dict(workload=cell.workload, batch=cell.batch, mode=cell.mode, note=spec.get("note", ""), kamacite=a, best=b, ratio=ratio, goal=goal,
               repeated=records, screened=screened, refused=refused, seconds=round(time.time() - begun, 1))
    shown = "no peer" if not b else "%s %s %d threads %.4g" % (b["peer"], b["variant"], b["threads"], b["samples_per_s"])
    print("%-14s kamacite %.4g on %d, %s, ratio %s, goal %s (%.0f s)" % (
        cell, a["samples_per_s"] if a else 0, a["threads"] if a else 0, shown, "%.2f" % ratio if ratio else "-", goal, out["seconds"]), flush=True)
    return out


def losses(o, commands, networks, wanted):
    """Losses from equal weights and data, without dropout, of kamacite and the peers that can load weights."""
    variants, out = {"kamacite": "exact", "torch": "eager", "tensorflow": "fn", "jax": "nhwc"}, []
    with tempfile.TemporaryDirectory() as scratch:
        for w in [w for w in networks if w in wanted]:
            spec = networks[w]
            path = os.path.join(scratch, w)
            if not extra.write_weights(commands, o.networks, w, spec["batches"][0], path):
                break
            cell = measure.Cell(w, spec["batches"][0], "train", ["--networks", o.networks, "--optimizer", o.optimizer])
            options = ["--loss-steps", "10", "--weights", path, "--lr", "0.0005" if o.optimizer == "sgd" else "0.0001"]
            rows = {p: measure.lines(commands[p], p, cell, max(o.threads), [v], options, timeout=100)[0] for p, v in variants.items() if p in commands}
            os.remove(path)
            out.append(loss_row(w, rows))
    return out


def loss_row(w, rows):
    ours, row = rows["kamacite"].get("losses"), dict(workload=w, losses={}, difference={}, verdict={})
    for p, line in rows.items():
        if "losses" not in line or ours is None:
            row["verdict"][p] = "not run: " + line.get("error", line.get("unsupported", "kamacite has no losses"))
            continue
        row["losses"][p] = line["losses"]
        if p != "kamacite":
            row["difference"][p] = stats.mismatch(ours, line["losses"])
            row["verdict"][p] = stats.loss_verdict(ours, line["losses"])
    print("losses %-4s %s" % (w, "  ".join("%s %s %s" % (p, v, "%.1e" % row["difference"][p] if p in row["difference"] else "") for p, v in row["verdict"].items())), flush=True)
    return row


def machine():
    model = platform.processor() or platform.machine()
    try:
        model = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read()).group(1)
    except (OSError, AttributeError):
        pass
    return dict(cpu=model, cores=os.cpu_count(), system=platform.platform())


def main():
    o = cli()
    networks = json.load(open(o.networks))
    goals = json.load(open(os.path.join(HERE, "goals.json")))
    begun, wanted = time.time(), cells(o, networks)
    commands, missing = programs.find(o.peers)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.join(programs.target(), "bench-inductor"))
    for p, why in missing.items():
        print("MISSING %s: %s" % (p, why), flush=True)
    fast = fast_available(commands)
    say("%d cells; %s" % (len(wanted), "every program repeated" if o.full else
                          "a short pass over all peers and variants, then kamacite and the best two peers %d times each, interleaved" % o.rounds))
    done = dict(date=str(datetime.date.today()), machine=machine(), threads=o.threads, optimizer=o.optimizer, rounds=o.rounds, full=o.full,
                missing=missing, fast=fast, asked=len(wanted), cells=[], losses=[])
    for c in wanted:
        done["cells"].append(one_cell(o, commands, c, networks[c.workload], fast, goals))
        report.write(o.out, done)  # what is done is kept if somebody ends the run
    done["losses"] = [] if o.no_losses else losses(o, commands, networks, {c.workload for c in wanted})
    if o.to_loss:
        done["to_loss"] = extra.to_loss(o, commands, networks)
    if o.scaling:
        done["scaling"] = extra.scaling(o, commands, wanted)
    done["seconds"] = round(time.time() - begun)
    print("written: %s.json .md .svg" % report.write(o.out, done))
    print(report.quiet(done))
    print(report.result(done), flush=True)


if __name__ == "__main__":
    main()
