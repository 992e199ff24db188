"""Beside the table: files of initial weights and data, time to a loss, scaling with threads."""
import os
import subprocess
import sys
import tempfile

import measure
import stats
from programs import HERE, say

# Validation losses that are reached after some epochs: (workload, batch, samples, loss, learning rate).
TARGETS = [("W4", 64, 4096, 0.2, 0.003), ("W6", 16, 512, 0.15, 0.001)]


def python_of(commands):
    """An interpreter with numpy: that of a peer, or else this one."""
    for p in ("torch", "tensorflow", "jax", "cianna"):
        if p in commands:
            return commands[p][0]
    return sys.executable


def write_weights(commands, networks, w, n, path, kind="batch"):
    """Initial weights and data of a workload in a file; whether that went well."""
    code = "import sys, json; sys.path.insert(0, %r); import workload as k; s = json.load(open(sys.argv[1]))[sys.argv[2]]; " \
           "k.write(sys.argv[4], {**k.initial(s), **getattr(k, sys.argv[5])(s, int(sys.argv[3]))})" % HERE
    p = subprocess.run([python_of(commands), "-c", code, networks, w, str(n), path, kind], capture_output=True, text=True)
    if p.returncode:
        say("no weights for %s, so no losses: %s" % (w, (p.stderr.strip().splitlines() or [""])[-1]))
    return p.returncode == 0


def to_loss(o, commands, networks):
    """Seconds until a validation loss, from equal weights, on equal data, in equal order; medians of three interleaved runs."""
    variants, out = {"kamacite": "exact", "torch": "cl_fused", "tensorflow": "fn"}, []
    with tempfile.TemporaryDirectory() as scratch:
        for w, batch, samples, loss, rate in TARGETS:
            path = os.path.join(scratch, w)
            if w not in networks or not write_weights(commands, o.networks, w, samples, path, "classes"):
                continue
            cell = measure.Cell(w, batch, "train", ["--networks", o.networks, "--optimizer", o.optimizer])
            options = ["--to-loss", str(loss), "--weights", path, "--lr", str(rate if o.optimizer == "sgd" else 0.001)]
            runs = {p: [] for p in variants if p in commands}
            for _ in range(3):
                for p in runs:
                    runs[p].append(measure.lines(commands[p], p, cell, max(o.threads), [variants[p]], options, timeout=300)[0])
            row = dict(workload=w, batch=batch, samples=samples, loss=loss, peers={})
            for p, lines in runs.items():
                good = [l for l in lines if l.get("reached")]
                row["peers"][p] = dict(seconds=stats.median([l["seconds"] for l in good]), epochs=[l["epochs"] for l in good]) if good \
                    else dict(error=lines[-1].get("error", "loss not reached: %s" % lines[-1].get("history", [])[-3:]))
            print("to loss %g on %s: %s" % (loss, w, row["peers"]), flush=True)
            out.append(row)
    return out


def scaling(o, commands, cells):
    """kamacite's rate on 1, 2, 4, ... threads, up to 16 or the cores there are."""
    most, counts = min(16, os.cpu_count()), []
    while not counts or counts[-1] < most:
        counts.append(min(most, 2 * counts[-1]) if counts else 1)
    out = []
    for cell in cells:
        programs = [("kamacite", "exact", t) for t in counts]
        found = measure.rounds(commands, cell, programs, 3, ["--seconds", str(o.seconds), "--repeats", "5"])
        rates = {p[2]: r["samples_per_s"] for p, r in ((p, stats.summary(l)) for p, l in found.items()) if r}
        out.append(dict(workload=cell.workload, batch=cell.batch, mode=cell.mode, samples_per_s=rates))
        print("scaling %-14s %s" % (cell, "  ".join("%d: %.4g" % x for x in rates.items())), flush=True)
    return out
