"""What a workload of ../workloads.json consists of: shapes, counts, initial weights, and files of arrays.

Networks are described channels first: input = [channels, space...]. Arrays in files are channels last, as kamacite and TensorFlow
have them: convolution [k..., in, out], transposed convolution [k..., out, in], dense [in, out], images [n, space..., channels].
"""
import copy
import json
import struct

ALL = "W1 W2 W3 W4 W5 W6 W7 W8 W9 W10".split()


def product(values):
    p = 1
    for v in values:
        p *= int(v)
    return p


def conv_out(l, shape):
    return [l["c"]] + [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape[1:], l["k"], l["s"], l["p"])]


def transposed_out(l, shape):
    return [l["c"]] + [(n - 1) * s - 2 * p + k for n, k, s, p in zip(shape[1:], l["k"], l["s"], l["p"])]


def shapes(spec):
    """(layer, shape before, shape behind) for each layer, channels first, without the batch."""
    shape, saved = list(spec["input"]), {}
    for l in spec["layers"]:
        before, t = list(shape), l["t"]
        if t == "conv":
            shape = conv_out(l, shape)
        elif t == "convt":
            shape = transposed_out(l, shape)
        elif t == "maxpool":
            shape = [shape[0]] + [n // l["k"] for n in shape[1:]]
        elif t == "gap":
            shape = [shape[0]]
        elif t == "flatten":
            shape = [product(shape)]
        elif t == "dense":
            shape = [l["n"]]
        elif t == "save":
            saved[l["n"]] = shape[0]
        elif t == "concat":
            shape = [shape[0] + saved[l["n"]]] + shape[1:]
        yield l, before, list(shape)


def last(shape):
    """A channels-first shape, channels last."""
    return list(shape[1:]) + list(shape[:1])


def without_dropout(spec):
    """Random masks differ between frameworks; the same network without them can be compared number by number."""
    spec = copy.deepcopy(spec)
    for l in spec["layers"]:
        if l["t"] == "dropout":
            l["p"] = 0.0
    return spec


def before_flatten(spec):
    """For each dense layer that follows a flattening, the shape before it: channels-first frameworks flatten in another order."""
    flat, found = None, {}
    for i, (l, before, _) in enumerate(shapes(spec)):
        if l["t"] == "flatten":
            flat = before
        elif l["t"] == "dense":
            if flat is not None:
                found[i] = flat
            flat = None
    return found


def parameters(spec):
    """(layer index, name, shape, fan in) of each parameter, in the order of the layers, weights before biases."""
    for i, (l, before, _) in enumerate(shapes(spec)):
        if l["t"] == "conv":
            yield i, "weight", (*l["k"], before[0], l["c"]), product(l["k"]) * before[0]
            yield i, "bias", (l["c"],), 0
        elif l["t"] == "convt":
            # Each output is reached by about 1 / stride of the taps on each axis.
            yield i, "weight", (*l["k"], l["c"], before[0]), max(1, product(l["k"]) * before[0] // product(l["s"]))
            yield i, "bias", (l["c"],), 0
        elif l["t"] == "dense":
            yield i, "weight", (before[0], l["n"]), before[0]
            yield i, "bias", (l["n"],), 0
        elif l["t"] in ("bn", "gn"):
            yield i, "scale", (before[0],), 0
            yield i, "shift", (before[0],), 0


def initial(spec, seed=1):
    """{"p0": first parameter, ...}: He's normal weights, small random biases, so that a bias mistaken for another shows."""
    import numpy as np
    rng, out = np.random.default_rng(seed), {}
    for j, (_, name, shape, fan) in enumerate(parameters(spec)):
        w = rng.standard_normal(shape, dtype=np.float32)
        if name == "weight":
            w *= np.float32((2.0 / fan) ** 0.5)
        else:
            w = np.float32(0.05) * w + np.float32(1.0 if name == "scale" else 0.0)
        out["p%d" % j] = w.astype(np.float32)
    return out


def batch(spec, n, seed=2):
    """A batch of normal numbers and its targets: {"x": ..., "y": ...}."""
    import numpy as np
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, *last(spec["input"])), dtype=np.float32)
    if spec["loss"] == "ce":
        return dict(x=x, y=rng.integers(0, spec["output"][0], n).astype(np.int32))
    return dict(x=x, y=rng.standard_normal((n, *last(spec["output"])), dtype=np.float32))


def write(path, arrays):
    """The safetensors format: length of the header, header, numbers."""
    import numpy as np
    header, at = {}, 0
    arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
    for k, v in arrays.items():
        header[k] = dict(dtype={"float32": "F32", "int32": "I32"}[str(v.dtype)], shape=list(v.shape), data_offsets=[at, at + v.nbytes])
        at += v.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for v in arrays.values():
            f.write(v.tobytes())


def read(path):
    import numpy as np
    raw = np.fromfile(path, dtype=np.uint8)
    n = 8 + int(raw[:8].view("<u8")[0])
    out = {}
    for k, v in json.loads(bytes(raw[8:n])).items():
        begin, end = v["data_offsets"]
        out[k] = np.frombuffer(raw[n + begin:n + end].tobytes(), dict(F32="<f4", I32="<i4")[v["dtype"]]).reshape(v["shape"])
    return out


def classes(spec, n, seed=3):
    """A data set to learn: each class has a smooth pattern of its own, which no single pixel shows: the distance of two patterns is
    about 6 times the noise, over all pixels. A quarter more samples for validation."""
    import numpy as np
    rng, shape, k = np.random.default_rng(seed), last(spec["input"]), spec["output"][0]
    axes = np.meshgrid(*[np.linspace(0, 2 * np.pi, s) for s in shape[:-1]], indexing="ij")
    waves = rng.uniform(0.5, 3.0, (k, len(axes)))
    patterns = np.stack([np.sin(sum(w * a for w, a in zip(wave, axes)) + i)[..., None] for i, wave in enumerate(waves)])

    def draw(n):
        y = rng.integers(0, k, n).astype(np.int32)
        return (patterns[y] * (6 / patterns[0].size ** 0.5) + rng.standard_normal((n, *shape))).astype(np.float32), y

    (x, y), (vx, vy) = draw(n), draw(n // 4)
    return {"x": x, "y": y, "valid.x": vx, "valid.y": vy}
