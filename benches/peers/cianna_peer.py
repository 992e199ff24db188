"""CIANNA, as installed (directory of the module in $CIANNA_LIB if it is not on the path). Variants: blas (C_BLAS), naiv (C_NAIV).

CIANNA has no batch norm: W6 and W7 take its group norm with one channel in a group (as many parameters, other statistics). Its
ReLU leaks by 0.05. Its group norm has one scale and one shift for a group, so W9 has 1536 parameters less. It has no
concatenation: W10 is impossible. Dense layers carry an unused bias neuron, which is subtracted. Training goes through cnn.train,
which watches the loss; inference through cnn.forward(no_error=1). It reports no multiply-accumulates.
"""
import ctypes
import os
import re
import sys
import tempfile
import time

import common

o = common.cli(["blas", "naiv"])
os.chdir(tempfile.mkdtemp())
LOG = os.open("log", os.O_RDWR | os.O_CREAT)
begun = time.perf_counter()
import numpy as np

if os.environ.get("CIANNA_LIB"):
    sys.path.insert(0, os.environ["CIANNA_LIB"])
import CIANNA as cnn

IMPORT = time.perf_counter() - begun


def ints(v):
    return np.array(v, dtype="int")


def merged(layers):
    """CIANNA's layers hold their activation, dropout and norm: (layer, activation, dropout, norm, norm before the activation)."""
    i, out = 0, []
    while i < len(layers):
        act, drop, norm, before, j = "LIN", 0.0, None, False, i + 1
        while j < len(layers) and layers[j]["t"] in ("relu", "dropout", "bn", "gn"):
            t = layers[j]["t"]
            if t == "relu":
                act = "RELU"
            elif t == "dropout":
                drop = layers[j]["p"]
            else:
                norm, before = layers[j], act != "RELU"
            j += 1
        out.append((layers[i], act, drop, norm, before))
        i = j
    return out


def add(l, act, drop, norm, before, nd):
    rev = lambda v: ints(list(v)[::-1])
    if l["t"] == "conv":
        split = norm is not None and before
        cnn.conv(f_size=rev(l["k"]), nb_filters=l["c"], stride=rev(l["s"]), padding=rev(l["p"]), activation="LIN" if split else act,
                 **({"drop_rate": drop} if drop else {}))
        if norm is not None:
            cnn.norm(group_size=1 if norm["t"] == "bn" else l["c"] // norm["g"], activation=act if split else "LIN")
    elif l["t"] == "maxpool":
        cnn.pool(p_size=ints([l["k"]] * nd), p_type="MAX")
    elif l["t"] == "gap":
        cnn.pool(p_type="AVG", p_global=1)
    elif l["t"] == "dense":
        cnn.dense(nb_neurons=l["n"], activation=act, drop_rate=drop, strict_size=1)


def data(spec, rows):
    rng = np.random.default_rng(0)
    n, outputs = int(np.prod(spec["input"])), int(np.prod(spec["output"]))
    x = rng.standard_normal((rows, n), dtype=np.float32)
    if spec["loss"] == "ce":
        return x, np.eye(outputs, dtype=np.float32)[rng.integers(0, outputs, rows)]
    return x, rng.standard_normal((rows, outputs), dtype=np.float32)


def network(spec, variant, unit):
    nd = len(spec["input"]) - 1
    cnn.init(in_dim=ints(spec["input"][1:][::-1]) if nd else ints([spec["input"][0]]), in_nb_ch=spec["input"][0] if nd else 1,
             out_dim=int(np.prod(spec["output"])), bias=0.1, b_size=o.batch, comp_meth="C_BLAS" if variant == "blas" else "C_NAIV")
    cnn.create_dataset("TRAIN", o.batch, *data(spec, o.batch))
    cnn.create_dataset("TEST", o.batch * unit, *data(spec, o.batch * unit))
    layers = merged(spec["layers"])
    for i, (l, act, drop, norm, before) in enumerate(layers):
        if i + 1 == len(layers) and l["t"] == "dense" and spec["loss"] == "ce":
            act = "SMAX"
        add(l, act, drop, norm, before, nd)


def parameters():
    """CIANNA's own count from its log, less one unused bias neuron for each dense layer."""
    ctypes.CDLL(None).fflush(None)
    text = open("log", errors="replace").read()
    count = sum(int(v) for v in re.findall(r"Nb\. (?:weights|params): (\d+)", text))
    return count - sum(int(v) for v in re.findall(r"Input: (\d+), Nb\. Neurons", text))


def train(n):
    cnn.train(nb_iter=n, learning_rate=1e-5, momentum=0.9, control_interv=0, confmat=0, save_every=0, shuffle_every=0, silent=1)


def infer(n):
    for _ in range(n):
        cnn.forward(saving=0, no_error=1, silent=1, drop_mode="AVG_MODEL")
        # 1.0 returns None without taking a reference: Python before 3.12 aborts after some thousand calls.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))


def main():
    spec = o.spec
    if any(l["t"] == "concat" for l in spec["layers"]):
        return common.refuse(o, "cianna", "no concatenation in CIANNA 1.0")
    if o.optimizer != "sgd" or o.loss_steps or o.to_loss is not None:
        return common.refuse(o, "cianna", "momentum SGD is its only rule, and its weights cannot be given")
    begun = time.perf_counter()
    sys.stdout.flush()
    screen = os.dup(1)
    os.dup2(LOG, 1)
    # Inference goes through its data set: many batches in a call, so that the call costs nothing.
    unit = 1 if o.mode == "train" or np.prod(spec["input"]) > 8192 else max(1, min(64, 4096 // o.batch))
    network(spec, o.variants[0], unit)
    build_s = time.perf_counter() - begun
    result = common.measure(o, train if o.mode == "train" else infer, unit)
    built = common.Built(parameters(), None, None)
    os.dup2(screen, 1)
    common.emit(o, "cianna", "1.0", IMPORT, build_s, o.variants[0], built, result)


main()
