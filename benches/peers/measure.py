"""Runs programs, one process at a time, and watches what else the machine does meanwhile."""
import json
import os
import subprocess
import time

import stats
from programs import say

TICKS = os.sysconf("SC_CLK_TCK")


class Cell:
    """One network, batch and mode; `options` go to every program."""

    def __init__(self, workload, batch, mode, options=()):
        self.workload, self.batch, self.mode, self.options = workload, batch, mode, list(options)

    def __str__(self):
        return "%s/%d %s" % (self.workload, self.batch, self.mode)


def cpu():
    """Seconds that all cores have worked, and that a hypervisor took; zeros where the system does not tell."""
    try:
        v = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    except OSError:
        return 0.0, 0.0
    return (v[0] + v[1] + v[2] + v[5] + v[6]) / TICKS, v[7] / TICKS


def run(command, timeout, cores):
    """(standard output or None, error text, {"foreign": cores used by others, "steal", "wall_s"})"""
    begun, before = time.time(), cpu()
    pin = (lambda: os.sched_setaffinity(0, cores)) if hasattr(os, "sched_setaffinity") else None
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=pin, start_new_session=True)
    used = os.times()
    try:
        out, err = p.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, 9)
        p.communicate()
        out, err = None, "longer than %d s" % timeout
    wall, after, now = time.time() - begun, cpu(), os.times()
    own = now.children_user + now.children_system - used.children_user - used.children_system
    mine = now.user + now.system - used.user - used.system
    foreign = max(0.0, (after[0] - before[0] - own - mine) / wall)
    return out, err, dict(foreign=round(foreign, 3), steal=round((after[1] - before[1]) / wall, 3), wall_s=round(wall, 2))


def cores(threads):
    there = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count()))
    return set(there[:threads])


def lines(command, peer, cell, threads, variants, options=(), timeout=60):
    """Result lines of one process: one for each variant, with what else went on; an error is a line without a rate."""
    c = command + ["--workload", cell.workload, "--batch", str(cell.batch), "--threads", str(threads), "--mode", cell.mode,
                   "--variant", ",".join(variants)] + cell.options + list(options)
    out, err, seen = run(c, timeout, cores(threads))
    found = [json.loads(l) for l in (out or "").splitlines() if l.startswith("{")]
    if not found:
        why = (err.strip().splitlines() or ["nothing printed"])[-1][-200:]
        found = [dict(peer=peer, variant=v, workload=cell.workload, batch=cell.batch, threads=threads, mode=cell.mode, error=why) for v in variants]
    return [{**l, **seen} for l in found]


def repeated(command, peer, cell, threads, variant, options, timeout=120):
    """One measurement; once more if others used the machine, and then the less disturbed of both."""
    first = lines(command, peer, cell, threads, [variant], options, timeout)[0]
    if "error" in first or first["foreign"] + first["steal"] <= stats.FOREIGN:
        return first
    again = lines(command, peer, cell, threads, [variant], options, timeout)[0]
    kept = again if "error" not in again and again["foreign"] + again["steal"] < first["foreign"] + first["steal"] else first
    return {**kept, "again": True}


def screen(commands, cell, spec, threads, variants, full=False):
    """One short pass over every peer and variant."""
    short, found = ["--seconds", "0.3", "--repeats", "3"], []
    most = max(threads)
    for peer, command in commands.items():
        for group in [["exact"]] if peer == "kamacite" else variants(peer, spec, cell.mode, full):
            # Without a second thread there is nothing to run side by side.
            if "i1" in group and most == 1:
                continue
            found += lines(command, peer, cell, most, group, short, timeout=90 if "compile" in group[0] else 40)
    for t in [t for t in threads if t != most]:
        found += lines(commands["kamacite"], "kamacite", cell, t, ["exact"], short)
        wanted = stats.one_thread_wanted(found, most)
        for peer, variant in wanted.items():
            groups = variants(peer, spec, cell.mode, full) if full else [["fn" if variant == "i1" else variant]]
            for group in groups:
                found += lines(commands[peer], peer, cell, t, group, short, timeout=40)
    return found


def rounds(commands, cell, programs, count, options):
    """{program: result lines}: in each round every program once, each time beginning with another."""
    found = {p: [] for p in programs}
    for i in range(count):
        for p in programs[i % len(programs):] + programs[:i % len(programs)]:
            peer, variant, threads = p
            found[p].append(repeated(commands[peer], peer, cell, threads, variant, options))
    return found


def verified(screened):
    """Lines of kamacite's network, and the others' with the reasons for refusing them: (lines, {peer: reason})."""
    ours = next((l for l in screened if l["peer"] == "kamacite" and "samples_per_s" in l), None)
    if ours is None:
        return [l for l in screened if l["peer"] == "kamacite"], {}
    kept, refused = [], {}
    for l in screened:
        why = None if l["peer"] == "kamacite" or "samples_per_s" not in l else stats.refusal(l, ours)
        if why:
            refused[l["peer"]] = why
            say("  REFUSED %s: %s" % (l["peer"], why))
        else:
            kept.append(l)
    return kept, refused
