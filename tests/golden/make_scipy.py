"""Numbers of NumPy and SciPy for the steps of `data::prepare`: resizing by splines, percentiles, B12 of the course.

    python make_scipy.py > scipy.json     # NumPy 2.4, SciPy; all in double precision, 10 significant digits
"""
import json
import sys

import numpy as np
import scipy
from scipy.ndimage import zoom

r = np.random.default_rng(6)


def short(x):
    return [float(f"{v:.10g}") for v in np.ravel(x)]


def single(shape):
    """Numbers that single precision holds exactly."""
    return r.normal(size=shape).astype(np.float32).astype(np.float64)


def resized(x, shape, order):
    # zoom() takes factors and rounds n * factor: these give exactly the shape.
    y = zoom(x, [m / n for n, m in zip(x.shape, shape)], order=order)
    assert y.shape == tuple(shape)
    # With mode="constant" rounding may put the last coordinate beyond the edge, and zeros into the last row or column.
    near = zoom(x, [m / n for n, m in zip(x.shape, shape)], order=order, mode="mirror")
    assert np.abs(y - near).max() < 1e-12, (x.shape, shape)
    return y


resize = []
for shape, to in [((7, 5), (12, 9)), ((12, 31), (5, 8)), ((2, 3), (4, 4)), ((1, 9), (1, 4)), ((16, 16), (16, 7)), ((6, 6), (1, 1)), ((40, 90), (13, 17))]:
    x = single(shape)
    resize.append({"from": shape, "to": to, "x": short(x), "cubic": short(resized(x, to, 3)), "linear": short(resized(x, to, 1))})

fit = []
for shape, side in [((30, 20), 16), ((9, 31), 12), ((5, 8), 16), ((24, 24), 10)]:
    x = single(shape)
    small = zoom(x, side / max(shape), order=3)
    y = np.zeros((side, side))
    y[: small.shape[0], : small.shape[1]] = small
    fit.append({"from": shape, "side": side, "x": short(x), "y": short(y)})

percentile = []
for n in [1, 2, 3, 10, 99, 300]:
    x = single(n)
    q = [0, 1, 2.5, 50, 99, 100]
    percentile.append({"x": short(x), "q": q, "p": short(np.percentile(x, q))})


def astronomy(x):
    x = np.where(np.isfinite(x), x, 0.0)
    x = np.clip(x, np.percentile(x, 1), np.percentile(x, 99))
    x = np.log(x - x.min() + 1)
    return (x - x.min()) / (x.max() - x.min() + 1e-8)


b12 = []
for shape in [(13, 17), (24, 20)]:
    x = (100 * np.exp(single(shape))).astype(np.float32).astype(np.float64)
    holes = r.integers(0, x.size, 5)
    x.flat[holes] = np.nan
    b12.append({"from": shape, "x": [None if np.isnan(v) else v for v in short(x)], "y": short(astronomy(x))})

made = {"made": f"numpy {np.__version__}, scipy {scipy.__version__}", "resize": resize, "fit": fit, "percentile": percentile, "b12": b12}
json.dump(made, sys.stdout, separators=(",", ":"))
