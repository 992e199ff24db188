"""Training steps of benches/gpu.rs in JAX on the same card, the whole step jitted with donated buffers: gpu_jax.py [--smoke]

The cases `step` of benches/gpu.rs by name: gather by index, forward, loss, gradients, momentum SGD in one compiled program. Medians and
minima of seven blocks; many steps are in flight before the host waits.
"""
import json
import statistics
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

SMOKE = "--smoke" in sys.argv


def dense(key, inputs, outputs):
    return {"w": jax.random.normal(key, (inputs, outputs)) * (2 / inputs) ** 0.5, "b": jnp.zeros(outputs)}


def kernel(key, window, inputs, outputs):
    return {"w": jax.random.normal(key, (window, window, inputs, outputs)) * (2 / (window * window * inputs)) ** 0.5, "b": jnp.zeros(outputs)}


def lenet():
    k = jax.random.split(jax.random.PRNGKey(1), 5)
    return [kernel(k[0], 5, 1, 8), kernel(k[1], 5, 8, 16), dense(k[2], 784, 256), dense(k[3], 256, 128), dense(k[4], 128, 10)]


def perceptron(sizes):
    keys = jax.random.split(jax.random.PRNGKey(1), len(sizes) - 1)
    return [dense(k, i, o) for k, i, o in zip(keys, sizes, sizes[1:])]


def forward(parameters, x, dtype, precision):
    """Products in `dtype`; relu between layers, pooling behind convolutions."""
    x = x.astype(dtype)
    for i, p in enumerate(parameters):
        w, b = p["w"].astype(dtype), p["b"].astype(dtype)
        if w.ndim == 4:
            x = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision=precision)
            x = jax.nn.relu(x + b)
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        else:
            x = jnp.dot(x.reshape(x.shape[0], -1), w, precision=precision) + b
            x = jax.nn.relu(x) if i + 1 < len(parameters) else x
    return x.astype(jnp.float32)


def stepper(dtype, precision):
    def loss_of(parameters, x, labels):
        logits = jax.nn.log_softmax(forward(parameters, x, dtype, precision))
        return -jnp.take_along_axis(logits, labels[:, None], axis=1).mean()

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(parameters, velocity, images, labels, index):
        grads = jax.grad(loss_of)(parameters, images[index], labels[index])
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, grads)
        return jax.tree.map(lambda p, v: p - 1e-3 * v, parameters, velocity), velocity

    return step


def run(name, precision, batch, parameters, shape, classes, resident):
    dtype = jnp.bfloat16 if precision == "BF16" else jnp.float32
    step = stepper(dtype, lax.Precision.HIGHEST if precision == "FP32" else lax.Precision.DEFAULT)
    rows = batch * resident
    images = jax.random.normal(jax.random.PRNGKey(2), (rows, *shape))
    labels = jax.random.randint(jax.random.PRNGKey(3), (rows,), 0, classes)
    index = jax.random.randint(jax.random.PRNGKey(4), (batch,), 0, rows)
    velocity = jax.tree.map(jnp.zeros_like, parameters)

    def timed(count):
        nonlocal parameters, velocity
        begun = time.perf_counter()
        for _ in range(count):
            parameters, velocity = step(parameters, velocity, images, labels, index)
        jax.block_until_ready(velocity)
        return (time.perf_counter() - begun) / count

    timed(3)
    count = max(1, int((0.01 if SMOKE else 0.6) / 7 / max(timed(3), 1e-7)))
    times = [timed(count) for _ in range(7)]
    print(json.dumps({"what": "step", "case": name, "peer": "jax jit", "us": statistics.median(times) * 1e6, "min_us": min(times) * 1e6}), flush=True)


print(json.dumps({"what": "peer", "jax": jax.__version__, "device": str(jax.devices()[0])}), flush=True)
cases = [(f"lenet {p} {b}", p, b, lenet, (28, 28, 1), 10, 100) for p in ["FP32", "TF32", "BF16"] for b in ([2, 4, 6] if SMOKE else [16, 64, 128])]
cases.append(("iris FP32 8", "FP32", 8, lambda: perceptron([4, 8, 3]), (4,), 3, 1000))
cases += [(f"mlp64 {p} {b}", p, b, lambda: perceptron([64, 64, 64, 64, 10]), (64,), 10, 8) for p in ["FP32", "BF16"] for b in ([16, 32] if SMOKE else [128, 16384])]
# Those of the goals first.
cases.sort(key=lambda case: case[0] not in ("lenet FP32 64", "lenet BF16 64", "lenet TF32 64", "iris FP32 8"))
for name, precision, batch, make, shape, classes, resident in cases:
    try:
        run(name, precision, batch, make(), shape, classes, 3 if SMOKE else resident)
    except Exception as e:  # noqa: BLE001: the others are still to be measured
        print(f"step {name} jax: {type(e).__name__}: {e}", file=sys.stderr, flush=True)
