"""The driver's arithmetic: medians, who is compared with whom, ratios, the last line. No processes, no files."""

NAMES = ["torch", "tensorflow", "jax", "burn", "candle", "cianna"]
# Differences that are known; everything else that differs is refused. (peer, workload): parameters.
KNOWN = {("cianna", "W9"): 12621373}
# Largest relative difference of losses that single precision explains: 1e-3. Sums in another order differ by about 1e-6 a layer,
# and steps of an untrained network multiply that; another update rule, layout or padding differs by far more.
LOSS_BOUND = 1e-3
# A measurement during which other processes used more of a core is repeated.
FOREIGN = 0.1


def median(values):
    v = sorted(values)
    if not v:
        raise ValueError("median of nothing")
    n = len(v) // 2
    return v[n] if len(v) % 2 else (v[n - 1] + v[n]) / 2


def disturbed(line):
    return line.get("foreign", 0.0) + line.get("steal", 0.0) > FOREIGN


def program(line):
    """What identifies a way to compute a cell."""
    return line["peer"], line.get("variant", ""), line["threads"]


def summary(lines):
    """Several runs of one program as one record: medians of the rates, extremes over all blocks, the most memory."""
    good = [l for l in lines if "samples_per_s" in l]
    if not good:
        return None
    r = dict(good[-1])
    r.update(samples_per_s=median([l["samples_per_s"] for l in good]), min=min(l["min"] for l in good), max=max(l["max"] for l in good),
             rounds=[l["samples_per_s"] for l in good], processes=len(good), peak_rss_mb=max(l["peak_rss_mb"] for l in good),
             rq_wait=median([l.get("rq_wait", 0.0) for l in good]), disturbed=sum(map(disturbed, good)))
    for key in ("import_s", "build_s", "first_step_s"):
        r[key] = median([l.get(key, 0.0) for l in good])
    return r


def refusal(line, ours):
    """Why a peer's network is not the one that kamacite ran; None if it is."""
    allowed = KNOWN.get((line["peer"], line["workload"]), ours["params"])
    if line["params"] != allowed:
        return "%d parameters, kamacite has %d" % (line["params"], ours["params"])
    if line.get("macs") is None:
        return None if line["peer"] == "cianna" else "no count of multiply-accumulates"
    if line["macs"] != ours["macs"]:
        return "%d multiply-accumulates, kamacite has %d" % (line["macs"], ours["macs"])
    return None


def one_thread_wanted(screened, most):
    """{peer: variant} worth a look on one thread: the two best on all threads, and whoever reaches half of the best. Where a step
    takes kamacite less than a millisecond, handing work to a second thread may cost more than it gains: then all."""
    rates, tiny = {}, any(l["peer"] == "kamacite" and l.get("steps_per_s", 0) > 1000 for l in screened)
    for l in screened:
        if l["peer"] != "kamacite" and l["threads"] == most and "samples_per_s" in l:
            if l["samples_per_s"] > rates.get(l["peer"], (0, ""))[0]:
                rates[l["peer"]] = (l["samples_per_s"], l["variant"])
    order = sorted(rates, key=lambda p: -rates[p][0])
    if not order:
        return {}
    return {p: rates[p][1] for i, p in enumerate(order) if tiny or i < 2 or rates[p][0] >= 0.5 * rates[order[0]][0]}


def contenders(screened, everything=False):
    """Programs of peers to be repeated: the best of the best peer, of the second if it has 80 % of that, and any within 5 %."""
    lines = [l for l in screened if l["peer"] != "kamacite" and "samples_per_s" in l]
    lines.sort(key=lambda l: -l["samples_per_s"])
    if everything or not lines:
        return [program(l) for l in lines]
    best, chosen, peers = lines[0]["samples_per_s"], [], []
    for l in lines:
        near = l["samples_per_s"] >= 0.95 * best
        second = l["peer"] not in peers and len(peers) < 2 and l["samples_per_s"] >= 0.8 * best
        if near or second:
            chosen.append(program(l))
            if l["peer"] not in peers:
                peers.append(l["peer"])
    return chosen


def best(records):
    return max(records, key=lambda r: r["samples_per_s"], default=None)


def compare(ours, peers):
    """(our best record, their best record, ratio); None where a side has nothing."""
    a, b = best(ours), best(peers)
    return a, b, (a["samples_per_s"] / b["samples_per_s"] if a and b else None)


def mismatch(reference, other):
    """The largest relative difference between two lists of losses."""
    if len(reference) != len(other):
        raise ValueError("%d losses and %d" % (len(reference), len(other)))
    return max((abs(a - b) / max(abs(a), abs(b), 1e-30) for a, b in zip(reference, other)), default=0.0)


def loss_verdict(reference, other):
    """"ok"; "MISMATCH"; or "WEAK" where the loss hardly moved, so that agreement would say little."""
    if mismatch(reference, other) > LOSS_BOUND or any(v != v for v in reference + other):
        return "MISMATCH"
    return "ok" if abs(reference[-1] - reference[0]) > 10 * LOSS_BOUND * abs(reference[0]) else "WEAK"


def result_line(ratios, expected, peers):
    """The last line. `ratios` has one number for each cell that was compared."""
    won = sum(r >= 1.0 for r in ratios)
    low, mid = (min(ratios), median(ratios)) if ratios else (0.0, 0.0)
    names = ",".join(p for p in NAMES if p in peers) or "none"
    return "RESULT cells=%d won=%d min_ratio=%.2f median_ratio=%.2f peers=%s" % (expected, won, low, mid, names)
