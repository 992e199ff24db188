"""Results as JSON, a Markdown table and a chart in SVG."""
import json
import os
import re

import stats


def number(x):
    return "-" if x is None else "%.0f" % x if x >= 100 else "%.3g" % x


def label(r):
    return "-" if r is None else "%s %s, %d thread%s" % (r["peer"], r["variant"], r["threads"], "s"[: r["threads"] != 1])


def spread(r):
    return "-" if r is None else "%s (%s–%s)" % (number(r["samples_per_s"]), number(r["min"]), number(r["max"]))


def best_of(cell, peer, key="repeated"):
    """A peer's best record of a cell: repeated if it was, else screened."""
    lines = [l for l in cell[key] if l["peer"] == peer and "samples_per_s" in l and l["variant"] != "fast"]
    return stats.best(lines) or (best_of(cell, peer, "screened") if key == "repeated" else None)


def name(cell):
    return "%s, batch %d, %s" % (cell["workload"], cell["batch"], cell["mode"])


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(r) + " |" for r in rows] + [""]


def speeds(done):
    rows = []
    for c in done["cells"]:
        reached = "-" if c["goal"] is None or c["ratio"] is None else "%.1f, %s" % (c["goal"], "reached" if c["ratio"] >= c["goal"] else "not reached")
        ratio = "-" if c["ratio"] is None else "%.2f" % c["ratio"]
        by_threads = ["%d: %s" % (r["threads"], number(r["samples_per_s"])) for r in c["repeated"] if r["peer"] == "kamacite" and r["variant"] == "exact"]
        rows.append([name(c), spread(c["kamacite"]), ", ".join(by_threads), spread(c["best"]), label(c["best"]), "**%s**" % ratio, reached])
    head = ["cell", "kamacite samples/s (min–max)", "by threads", "best peer samples/s (min–max)", "which", "ratio", "goal"]
    return table(head, rows)


def every_peer(done, present):
    """The best variant of each peer; repeated numbers where there are any, else those of the short pass, in italics."""
    rows = []
    for c in done["cells"]:
        row = [name(c)]
        for p in present:
            r, repeated = best_of(c, p), any(l["peer"] == p for l in c["repeated"])
            compiled = stats.best([l for l in c["screened"] if l["peer"] == p and l.get("variant", "").startswith("compile") and "samples_per_s" in l])
            text = "refused" if p in c["refused"] else number(r and r["samples_per_s"])
            text = text if repeated or text in ("-", "refused") else "*%s*" % text
            row.append(text + (" (compile %s)" % number(compiled["samples_per_s"]) if p == "torch" and compiled else ""))
        rows.append(row)
    return table(["cell"] + present, rows)


def memory(done, present):
    rows, larger = [], []
    for c in done["cells"]:
        ours = best_of(c, "kamacite")
        row = [name(c), number((ours or {}).get("planned_bytes", 0) / 2**20)]
        for p in present:
            r = best_of(c, p)
            row.append(number(r["peak_rss_mb"]) if r else "-")
            if ours and r and p != "kamacite" and r["peak_rss_mb"] < ours["peak_rss_mb"]:
                larger.append("%s: %s has %s MiB, kamacite %s MiB" % (name(c), p, number(r["peak_rss_mb"]), number(ours["peak_rss_mb"])))
        rows.append(row)
    line = "kamacite's process is the smallest in every cell." if not larger else "A peer's process is smaller in: " + "; ".join(larger) + "."
    return table(["cell", "kamacite, planned"] + present, rows) + [line, ""]


def start(done, present):
    rows = []
    for c in done["cells"]:
        found = [best_of(c, p) for p in present]
        rows.append([name(c)] + ["%.2f + %.2f + %.3f" % (r["import_s"], r["build_s"], r["first_step_s"]) if r else "-" for r in found])
    return table(["cell"] + present, rows)


def counts(done, present):
    rows = []
    for c in done["cells"]:
        found = [best_of(c, p) for p in present]
        if c["mode"] == "train":
            rows.append(["%s" % c["workload"]] + ["%d; %s" % (r["params"], "-" if r.get("macs") is None else "%.4g" % (2e-6 * r["macs"])) if r else "-" for r in found])
    return table(["workload"] + present, [r for i, r in enumerate(rows) if r[0] not in [q[0] for q in rows[:i]]])


def losses(done):
    rows = []
    for l in done["losses"]:
        ours = l["losses"].get("kamacite")
        texts = ["%s %.6f (%.1e) %s" % (p, l["losses"][p][-1], l["difference"][p], v) if p in l["difference"] else "%s %s" % (p, v)
                 for p, v in l["verdict"].items()]
        rows.append([l["workload"], "%.6f → %.6f" % (ours[0], ours[-1]) if ours else "-"] + ["; ".join(texts)])
    return table(["workload", "kamacite, first → last", "peers: last loss (largest relative difference of all)"], rows)


def fast_cells(done):
    rows = []
    for c in done["cells"]:
        r = next((r for r in c["repeated"] if r["peer"] == "kamacite" and r["variant"] == "fast"), None)
        if r:
            rows.append([name(c), number(r["samples_per_s"]), "%.2f" % (r["samples_per_s"] / c["kamacite"]["samples_per_s"]),
                         "%.2f" % (r["samples_per_s"] / c["best"]["samples_per_s"]) if c["best"] else "-"])
    return ["## Math::Fast", ""] + table(["cell", "samples/s", "of Exact", "of the best peer"], rows) if rows else []


def extras(done):
    out = []
    for t in done.get("to_loss", []):
        texts = ["%s %.2f s, %s epochs" % (p, r["seconds"], "/".join(map(str, r["epochs"]))) if "seconds" in r else "%s: %s" % (p, r["error"])
                 for p, r in t["peers"].items()]
        out.append("* %s to a validation loss of %g (%d synthetic samples): %s" % (t["workload"], t["loss"], t["samples"], "; ".join(texts)))
    out = ["## Time to a validation loss", ""] + out + [""] if out else []
    if done.get("scaling"):
        threads = sorted({int(t) for s in done["scaling"] for t in s["samples_per_s"]})
        rows = [[name(s)] + ["%s (%.2f×)" % (number(s["samples_per_s"].get(t)), s["samples_per_s"].get(t, 0) / s["samples_per_s"][1]) for t in threads] for s in done["scaling"]]
        out += ["## Threads: samples/s of kamacite (times that of one)", ""] + table(["cell"] + ["%d" % t for t in threads], rows)
    return out


def markdown(done, title):
    m = done["machine"]
    present = ["kamacite"] + [p for p in stats.NAMES if p in ran(done)]
    versions = {l["peer"]: l["version"] for c in done["cells"] for l in c["screened"] if "version" in l}
    out = ["# " + title, "", "%s, %d cores, %s. %s. %s. Optimizer: %s. %d processes for each repeated program, interleaved; medians." % (
        m["cpu"], m["cores"], m["system"], done["date"], ", ".join("%s %s" % v for v in versions.items()), done["optimizer"], done["rounds"]), ""]
    out += ["Missing: %s: %s." % v for v in done["missing"].items()] + [""]
    out += ["Refused: %s in %s: %s." % (p, name(c), why) for c in done["cells"] for p, why in c["refused"].items()] + [""]
    out += [quiet(done), ""]
    out += ["## Speed", ""] + speeds(done) + ["`%s`" % result(done), ""]
    out += ["## Every peer, best variant, samples/s", "", "*In italics*: one short run, not among those repeated.", ""] + every_peer(done, present) + fast_cells(done)
    out += ["## Peak memory of the process, MiB", ""] + memory(done, present)
    out += ["## Start: import + build + first step, s", ""] + start(done, present)
    out += ["## Same networks: trainable numbers; forward MFLOP a sample", ""] + counts(done, present)
    if done["losses"]:
        text = "From equal weights on an equal batch, without dropout, after 10 steps. More than %g apart is a MISMATCH." % stats.LOSS_BOUND
        out += ["## Same mathematics: losses", "", text, ""] + losses(done)
    return "\n".join(out + extras(done)).replace("\n\n\n", "\n\n").rstrip() + "\n"


def svg(done):
    """Bars of kamacite's rate over the best peer's; a line at 1, a mark at each goal."""
    cells = [c for c in done["cells"] if c["ratio"]]
    top = max([c["ratio"] for c in cells] + [2.0])
    left, width, row = 150, 560, 22
    scale, height = width / top, row * len(cells) + 50
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">' % (left + width + 70, height),
           '<rect width="100%" height="100%" fill="white"/>', '<text x="%d" y="18">kamacite / best peer (mark: goal)</text>' % left]
    for i, c in enumerate(cells):
        y, colour = 30 + i * row, "#2b7a4b" if c["ratio"] >= 1 else "#b5442e"
        out.append('<text x="%d" y="%d" text-anchor="end">%s/%d %s</text>' % (left - 8, y + 13, c["workload"], c["batch"], c["mode"]))
        out.append('<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>' % (left, y, c["ratio"] * scale, row - 6, colour))
        out.append('<text x="%.1f" y="%d">%.2f %s</text>' % (left + c["ratio"] * scale + 4, y + 13, c["ratio"], c["best"]["peer"]))
        if c["goal"]:
            out.append('<rect x="%.1f" y="%d" width="2" height="%d" fill="black"/>' % (left + c["goal"] * scale - 1, y - 2, row - 2))
    out.append('<line x1="%.1f" x2="%.1f" y1="26" y2="%d" stroke="black" stroke-dasharray="4 3"/></svg>' % (left + scale, left + scale, height - 18))
    return "\n".join(out) + "\n"


def quiet(done):
    """How many measurements others disturbed: frameworks whose threads spin suffer most from that."""
    processes = sum(r["processes"] for c in done["cells"] for r in c["repeated"])
    bad = sum(r["disturbed"] for c in done["cells"] for r in c["repeated"])
    short = sum(stats.disturbed(l) for c in done["cells"] for l in c["screened"])
    if not bad and not short:
        return "No measurement was disturbed."
    where = sorted({name(c) for c in done["cells"] if any(r["disturbed"] for r in c["repeated"])})
    text = "DISTURBED: during %d of %d repeated processes, and %d lines of the short pass, others used more than %g of a core" % (bad, processes, short, stats.FOREIGN)
    return text + (": " + "; ".join(where) if where else "") + ". Frameworks whose threads spin suffer most; where this is more than a few, run again."


def ran(done):
    return {l["peer"] for c in done["cells"] for l in c["screened"] if "samples_per_s" in l and l["peer"] != "kamacite"}


def result(done):
    return stats.result_line([c["ratio"] for c in done["cells"] if c["ratio"]], done["asked"], ran(done))


def write(folder, done):
    os.makedirs(folder, exist_ok=True)
    cpu = re.sub(r"[^a-z0-9]+", "-", done["machine"]["cpu"].lower()).strip("-")
    stem = os.path.join(folder, "%s-%s" % (done["date"], cpu) + ("" if done["optimizer"] == "sgd" else "-" + done["optimizer"]))
    with open(stem + ".json", "w") as f:
        json.dump(done, f, indent=1)
    with open(stem + ".md", "w") as f:
        f.write(markdown(done, "kamacite and its peers"))
    with open(stem + ".svg", "w") as f:
        f.write(svg(done))
    return os.path.normpath(stem)
