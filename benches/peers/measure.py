"""Runs programs, one process at a time, and watches what else the machine does meanwhile."""
import json
import os
import subprocess
import time

import stats
from programs import say

TICKS = os.sysconf("SC_CLK_TCK")
patience = 300.0


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
    for l in found:
        say("  %-14s %-10s %-10s %d  %s  (%.1f s)" % (cell, peer, l.get("variant", ""), threads,
                                                    l.get("samples_per_s") or l.get("error") or l.get("unsupported") or "done", seen["wall_s"]))
    return [{**l, **seen} for l in found]


def settle():
    """Waits until others leave the machine alone: up to 20 s."""
    global patience
    begun = time.time()
    while patience > 0 and time.time() - begun < 20:
        before, mine, t = cpu(), sum(os.times()[:2]), time.time()
        time.sleep(0.5)
        after, wall = cpu(), time.time() - t
        patience -= wall
        if (after[0] - before[0] + after[1] - before[1] - sum(os.times()[:2]) + mine) / wall <= stats.FOREIGN:
            return


def undisturbed(measured):
    """The lines of `measured()`; once more if others used the machine, and then the less disturbed. Not for ever: 300 s in a whole run."""
    global patience
    first = measured()
    if "error" in first[0] or not stats.disturbed(first[0]) or patience <= 0:
        return first
    settle()
    again = measured()
    patience -= again[0]["wall_s"]
    return again if "error" not in again[0] and again[0]["foreign"] + again[0]["steal"] < first[0]["foreign"] + first[0]["steal"] else first


def screen(commands, cell, spec, threads, variants, full=False):
    """One short pass over every peer and variant."""
    short, found, most = ["--seconds", "0.3", "--repeats", "3"], [], max(threads)

    def once(peer, t, group, timeout=40):
        return undisturbed(lambda: lines(commands[peer], peer, cell, t, group, short, timeout))

    for peer in commands:
        for group in [["exact"]] if peer == "kamacite" else variants(peer, spec, cell.mode, full):
            # Without a second thread there is nothing to run side by side.
            if "i1" in group and most == 1:
                continue
            found += once(peer, most, group, 90 if "compile" in group[0] else 40)
    for t in [t for t in threads if t != most]:
        found += once("kamacite", t, ["exact"])
        wanted = stats.one_thread_wanted(found, most)
        for peer, variant in wanted.items():
            groups = variants(peer, spec, cell.mode, full) if full else [["fn" if variant == "i1" else variant]]
            for group in groups:
                found += once(peer, t, group)
    return found


def rounds(commands, cell, programs, count, options):
    """{program: result lines}: in each round every program once, each time beginning with another."""
    found = {p: [] for p in programs}
    for i in range(count):
        for p in programs[i % len(programs):] + programs[:i % len(programs)]:
            peer, variant, threads = p
            found[p] += undisturbed(lambda: lines(commands[peer], peer, cell, threads, [variant], options, 120))
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
