"""Command line, timing protocol and result line of the peers in Python. rust/common and ../step hold the same protocol.

A process measures one configuration (peer, variant, workload, batch, threads, mode). One fixed batch of normal numbers lies in
memory. The first step is timed apart (initialisation, compilation); at least 4 more steps and 0.5 s warm up; then `--repeats`
blocks are timed, together about `--seconds`. If a step takes longer than 0.5 s, one more step warms up and a block is one step. The median block counts; the slowest and the
fastest are kept. `rq_wait` is the share of thread time spent waiting for a core: high when others use the machine, or when a
framework starts more threads than it has cores.

A peer is a module with a function `build(o, variant)` that returns a `Built`.
"""
import argparse
import json
import os
import resource
import time

import workload

HERE = os.path.dirname(os.path.abspath(__file__))


def cli(variants, arguments=None):
    """Parses the command line; sets threads and cores before any framework is imported."""
    a = argparse.ArgumentParser()
    a.add_argument("--workload", required=True)
    a.add_argument("--batch", type=int, default=0)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--mode", choices=["train", "infer"], default="train")
    a.add_argument("--seconds", type=float, default=3.0)
    a.add_argument("--repeats", type=int, default=7)
    a.add_argument("--variant", default=variants[0], help="one, or several with commas, one after the other: " + " ".join(variants))
    a.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    a.add_argument("--lr", type=float, default=1e-4)
    a.add_argument("--networks", default=os.path.join(HERE, "..", "workloads.json"))
    a.add_argument("--weights", help="initial weights and data, as run.py writes them")
    a.add_argument("--loss-steps", type=int, default=0, help="no timing: losses of this many steps from --weights, without dropout")
    a.add_argument("--to-loss", type=float, help="no blocks: seconds until this validation loss, from --weights")
    a.add_argument("--epochs", type=int, default=50, help="the most that --to-loss tries")
    o = a.parse_args(arguments)
    o.variants = o.variant.split(",")
    for v in o.variants:
        if v not in variants:
            a.error("unknown variant %s; there are %s" % (v, " ".join(variants)))
    o.spec = json.load(open(o.networks))[o.workload]
    if o.loss_steps:
        o.spec = workload.without_dropout(o.spec)
    o.batch = o.batch or o.spec["batches"][0]
    for v in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[v] = str(o.threads)
    if hasattr(os, "sched_setaffinity"):  # one thread is one core, for every helper thread too
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: o.threads]))
    return o


class Built:
    """A network of a peer, ready to run.

    params      trainable numbers, counted in the framework's own layers
    macs        multiply-accumulates of a forward pass of one sample, from the shapes of the framework's own layers; None if unknown
    step(n)     n steps of `o.mode` on the fixed batch; returns when the work is done
    train(x, y) one training step on channels-last arrays; returns the loss before the update
    loss(x, y)  the loss in evaluation mode
    unit        batches in one step
    """

    def __init__(self, params, macs, step, train=None, loss=None, unit=1, **extra):
        self.params, self.macs, self.step, self.train, self.loss, self.unit, self.extra = params, macs, step, train, loss, unit, extra


def run_delay():
    """Nanoseconds that the threads of this process were runnable but waited for a core."""
    d = 0
    for t in os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else []:
        try:
            d += int(open("/proc/self/task/%s/schedstat" % t).read().split()[1])
        except (OSError, IndexError):
            pass
    return d


def timed(step, n):
    t = time.perf_counter()
    step(n)
    return time.perf_counter() - t


def measure(o, step, unit=1):
    first = timed(step, 1)
    per, repeats = timed(step, 1), o.repeats
    if per > 0.5:
        repeats = max(1, min(repeats, round(o.seconds / per)))
    else:
        n, t = 0, time.perf_counter()
        while n < 3 or time.perf_counter() - t < 0.5:
            k = 1 if n < 8 else n // 4
            step(k)
            n += k
        k = max(1, n // 8)
        per = timed(step, k) / k
    m = max(1, round(o.seconds / repeats / per))
    delay, begun = run_delay(), time.perf_counter()
    rates = sorted(m * o.batch * unit / timed(step, m) for _ in range(repeats))
    waited = (run_delay() - delay) / 1e9 / (time.perf_counter() - begun) / o.threads
    median = rates[len(rates) // 2]
    return dict(rq_wait=round(waited, 4), first_step_s=round(first, 4), steps_per_repeat=m * unit, repeats=repeats,
                samples_per_s=round(median, 4), min=round(rates[0], 4), max=round(rates[-1], 4),
                steps_per_s=round(median / o.batch, 5))


def losses(o, built):
    """The loss of one batch, before the first update and after each."""
    f = workload.read(o.weights)
    return [float(built.train(f["x"], f["y"])) for _ in range(o.loss_steps + 1)]


def to_loss(o, built):
    """Seconds of training, validation included, until the validation loss is at most `o.to_loss`."""
    f = workload.read(o.weights)
    n, history, begun = len(f["x"]) // o.batch, [], time.perf_counter()
    for _ in range(o.epochs):
        for i in range(n):
            rows = slice(i * o.batch, (i + 1) * o.batch)
            built.train(f["x"][rows], f["y"][rows])
        v = [float(built.loss(f["valid.x"][i:i + o.batch], f["valid.y"][i:i + o.batch])) for i in range(0, len(f["valid.x"]), o.batch)]
        history.append(round(sum(v) / len(v), 6))
        if history[-1] <= o.to_loss:
            break
    return dict(target=o.to_loss, reached=history[-1] <= o.to_loss, epochs=len(history), history=history,
                seconds=round(time.perf_counter() - begun, 4))


def emit(o, peer, version, import_s, build_s, variant, built, result):
    line = dict(peer=peer, variant=variant, version=version, workload=o.workload, batch=o.batch, threads=o.threads, mode=o.mode,
                optimizer=o.optimizer, params=built.params, params_spec=o.spec["params"], macs=built.macs, import_s=round(import_s, 3),
                build_s=round(build_s, 3), **result, **built.extra)
    line["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(line), flush=True)


def refuse(o, peer, reason):
    print(json.dumps(dict(peer=peer, workload=o.workload, batch=o.batch, threads=o.threads, mode=o.mode, unsupported=reason)), flush=True)


def main(o, peer, version, import_s, build):
    """Runs the variants asked for, one after the other."""
    for variant in o.variants:
        begun = time.perf_counter()
        built = build(o, variant)
        build_s = time.perf_counter() - begun
        if o.loss_steps:
            result = dict(losses=losses(o, built))
        elif o.to_loss is not None:
            result = to_loss(o, built)
        else:
            result = measure(o, built.step, built.unit)
        emit(o, peer, version, import_s, build_s, variant, built, result)
