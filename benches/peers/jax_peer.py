"""JAX on the CPU: the whole training step jitted, buffers donated. Variants: nhwc (channels last), nchw."""
import os
import time

import common
import workload

o = common.cli(["nhwc", "nchw"])
os.environ["JAX_PLATFORMS"] = "cpu"
if o.threads == 1:
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
begun = time.perf_counter()
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

IMPORT = time.perf_counter() - begun


class Net:
    """The forward pass and the axes of one workload."""

    def __init__(self, spec, channels_last):
        self.spec, self.last, self.nd = spec, channels_last, len(spec["input"]) - 1
        s = "DHW"[3 - self.nd:] if self.nd else ""
        self.numbers = (("N" + s + "C", s + "IO", "N" + s + "C") if channels_last else ("NC" + s, "OI" + s, "NC" + s)) if self.nd else None
        self.channel = -1 if channels_last else 1

    def wide(self, v):
        """A value for each channel, so that it broadcasts over a batch."""
        return v if self.last or v.ndim == 0 else v.reshape((-1,) + (1,) * self.nd)

    def array(self, a):
        """A channels-last array in this layout."""
        return jnp.asarray(a if self.last or a.ndim < 3 else np.moveaxis(a, -1, 1))

    def parameters(self, values):
        """One tuple for each layer. `values` are channels last, as in files."""
        table, flat = [() for _ in self.spec["layers"]], workload.before_flatten(self.spec)
        for j, (i, name, _, _) in enumerate(workload.parameters(self.spec)):
            w, t = np.asarray(values["p%d" % j]), self.spec["layers"][i]["t"]
            if name == "weight" and i in flat and not self.last:
                w = np.moveaxis(w.reshape(*workload.last(flat[i]), -1), -2, 0).reshape(w.shape)
            if name == "weight" and t == "convt":
                # The data gradient of a convolution: taps mirrored, [k..., in, out].
                w = np.flip(np.swapaxes(w, -1, -2), tuple(range(self.nd)))
            if name == "weight" and t != "dense" and not self.last:
                w = np.moveaxis(w, (-1, -2), (0, 1))
            table[i] += (jnp.asarray(w),)
        return table

    def layer(self, i, l, p, r, x, train, key):
        t, nd = l["t"], self.nd
        if t == "conv":
            pads = [(q, q) for q in l["p"]]
            return lax.conv_general_dilated(x, p[0], l["s"], pads, dimension_numbers=self.numbers) + self.wide(p[1]), r
        if t == "convt":
            pads = [(k - 1 - q, k - 1 - q) for k, q in zip(l["k"], l["p"])]
            y = lax.conv_general_dilated(x, p[0], (1,) * nd, pads, lhs_dilation=l["s"], dimension_numbers=self.numbers)
            return y + self.wide(p[1]), r
        if t == "bn":
            return self.batch_norm(p, r, x, train)
        if t == "gn":
            return self.group_norm(l["g"], p, x), r
        if t == "relu":
            return jax.nn.relu(x), r
        if t == "maxpool":
            w = (1,) + (l["k"],) * nd + (1,) if self.last else (1, 1) + (l["k"],) * nd
            return lax.reduce_window(x, -jnp.inf, lax.max, w, w, "VALID"), r
        if t == "gap":
            return x.mean(tuple(range(1, nd + 1)) if self.last else tuple(range(2, nd + 2))), r
        if t == "flatten":
            return x.reshape(x.shape[0], -1), r
        if t == "dense":
            return x @ p[0] + p[1], r
        if t == "dropout" and train and l["p"] > 0:
            keep = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - l["p"], x.shape)
            return jnp.where(keep, x / (1 - l["p"]), 0.0), r
        return x, r

    def batch_norm(self, p, r, x, train):
        m, v = r
        if train:
            axes = tuple(a for a in range(x.ndim) if a != (x.ndim - 1 if self.last else 1))
            m, v = x.mean(axes), x.var(axes)
            r = (0.9 * r[0] + 0.1 * m, 0.9 * r[1] + 0.1 * v)
        return (x - self.wide(m)) * self.wide(p[0] * lax.rsqrt(v + 1e-5)) + self.wide(p[1]), r

    def group_norm(self, g, p, x):
        shape = x.shape
        y = x.reshape((shape[0], -1, g, shape[-1] // g) if self.last else (shape[0], g, shape[1] // g, -1))
        axes = (1, 3) if self.last else (2, 3)
        y = (y - y.mean(axes, keepdims=True)) * lax.rsqrt(y.var(axes, keepdims=True) + 1e-5)
        return y.reshape(shape) * self.wide(p[0]) + self.wide(p[1])

    def forward(self, parameters, running, x, train, key):
        saved, after = {}, []
        for i, (l, p, r) in enumerate(zip(self.spec["layers"], parameters, running)):
            if l["t"] == "save":
                saved[l["n"]] = x
            elif l["t"] == "concat":
                x = jnp.concatenate([x, saved[l["n"]]], self.channel)
            else:
                x, r = self.layer(i, l, p, r, x, train, key)
            after.append(r)
        return x, after


def count(net, parameters, running, x):
    """Multiply-accumulates of one sample, from the convolutions and products of the traced program; and the output's shape."""
    macs = 0
    traced = jax.make_jaxpr(lambda x: net.forward(parameters, running, x, False, None)[0])(x[:1])
    for e in traced.jaxpr.eqns:
        if e.primitive.name == "dot_general":
            macs += workload.product(e.invars[1].aval.shape)
        elif e.primitive.name == "conv_general_dilated":
            d = e.params["dimension_numbers"]
            dilated = any(s != 1 for s in e.params["lhs_dilation"])
            where, spec = (e.invars[0].aval.shape, d.lhs_spec) if dilated else (e.outvars[0].aval.shape, d.out_spec)
            macs += workload.product(e.invars[1].aval.shape) * workload.product(where[a] for a in spec[2:])
    return macs, traced.out_avals[0].shape


def rules():
    """(state for a parameter, update of parameters and states)"""
    if o.optimizer == "adam":
        def adam(P, M, G, k):
            M = jax.tree.map(lambda g, m: (0.9 * m[0] + 0.1 * g, 0.999 * m[1] + 0.001 * g * g), G, M)
            a, b = 1 - 0.9 ** k, 1 - 0.999 ** k
            return jax.tree.map(lambda p, m: p - o.lr * (m[0] / a) / (jnp.sqrt(m[1] / b) + 1e-8), P, M), M
        return lambda p: (jnp.zeros_like(p), jnp.zeros_like(p)), adam

    def momentum(P, M, G, k):
        M = jax.tree.map(lambda m, g: 0.9 * m + g, M, G)
        return jax.tree.map(lambda p, m: p - o.lr * m, P, M), M
    return jnp.zeros_like, momentum


def build(o, variant):
    spec, ce = o.spec, o.spec["loss"] == "ce"
    net = Net(spec, variant == "nhwc")
    P = net.parameters(workload.read(o.weights) if o.weights else workload.initial(spec))
    params = sum(a.size for p in P for a in p)
    state, update = rules()
    running = [(jnp.zeros(p[0].shape), jnp.ones(p[0].shape)) if l["t"] == "bn" else () for l, p in zip(spec["layers"], P)]
    data = workload.batch(spec, o.batch)
    x, y = net.array(data["x"]), net.array(data["y"])
    macs, shape = count(net, P, running, x)
    want = workload.last(spec["output"]) if net.last else list(spec["output"])
    assert list(shape[1:]) == want, (shape, want)

    def error(p, y):
        if ce:
            return -jnp.take_along_axis(jax.nn.log_softmax(p), y[:, None], 1).mean()
        return jnp.square(p - y).mean()

    def train_step(P, M, R, x, y, key, k):
        key, now = jax.random.split(key)

        def loss(P):
            p, after = net.forward(P, R, x, True, now)
            return error(p, y), after

        (l, R), g = jax.value_and_grad(loss, has_aux=True)(P)
        P, M = update(P, M, g, k + 1)
        return (P, M, R, key, k + 1), l

    train = jax.jit(lambda s, x, y: train_step(s[0], s[1], s[2], x, y, s[3], s[4]), donate_argnums=0)
    infer = jax.jit(lambda P, R, x: net.forward(P, R, x, False, None)[0])
    s = [(P, jax.tree.map(state, P), running, jax.random.key(0), jnp.zeros((), jnp.int32))]

    def step(n):
        for _ in range(n):
            if o.mode == "train":
                s[0], r = train(s[0], x, y)
            else:
                r = infer(s[0][0], s[0][2], x)
        r.block_until_ready()

    def one(x, y):
        s[0], l = train(s[0], net.array(x), net.array(y))
        return l

    return common.Built(int(params), macs, step, one, lambda x, y: error(infer(s[0][0], s[0][2], net.array(x)), net.array(y)))


common.main(o, "jax", jax.__version__, IMPORT, build)
