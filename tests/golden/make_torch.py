#!/usr/bin/env python3
"""Writes torch.json: inputs, outputs and gradients of PyTorch's layers, losses and optimizers.

    python3 make_torch.py > torch.json        # PyTorch 2, CPU; everything is computed in float64

Layouts are permuted here to those of kamacite, so that the test only compares: activations (n, d, h, w, c), convolution
weights [kd, kh, kw, c/groups, filters], transposed ones [kd, kh, kw, filters/groups, c]. Inputs are small decimals that
print exactly; results are rounded to 10 significant digits.
"""

import json

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
gen = torch.Generator().manual_seed(11)
DIMS = {3: 1, 4: 2, 5: 3}


def draw(*shape, low=-1.5, high=1.5):
    """Numbers with two decimals."""
    x = torch.rand(*shape, generator=gen) * (high - low) + low
    return (x * 100).round() / 100


def flat(t):
    return [float(f"{v:.10g}") for v in t.detach().double().reshape(-1).tolist()]


def last(t):
    """(n, c, spatial...) to channels last; vectors stay."""
    return t.movedim(1, -1) if t.dim() > 2 else t


def extent(t):
    """[d, h, w, c] of a channels-first batch."""
    space = list(t.shape[2:])
    return [1] * (3 - len(space)) + space + [t.shape[1]]


def weight(w):
    """(filters, c/groups, k...) to [k..., c/groups, filters]; for transposed ones (c, filters/groups, k...) alike."""
    return w.permute(*range(2, w.dim()), 1, 0)


def record(cases, name, f, xs, params, **more):
    """Runs y = f(xs, params) with a random output gradient."""
    xs = [x.clone().requires_grad_() for x in xs]
    params = {k: (v.clone().requires_grad_(), p) for k, (v, p) in params.items()}
    y = f(xs, {k: v for k, (v, _) in params.items()})
    dy = draw(*y.shape)
    y.backward(dy)
    cases.append(
        dict(
            name=name,
            rows=xs[0].shape[0],
            x=[dict(extent=extent(x), v=flat(last(x))) for x in xs],
            params={k: flat(p(v)) for k, (v, p) in params.items()},
            y=dict(extent=extent(y), v=flat(last(y))),
            dy=flat(last(dy)),
            dx=[flat(last(x.grad)) for x in xs],
            dw={k: flat(p(v.grad)) for k, (v, p) in params.items()},
            **more,
        )
    )


def same(v):
    return v


def layers():
    cases = []

    def conv(name, x, filters, k, **kw):
        groups = kw.get("groups", 1)
        w = draw(filters, x.shape[1] // groups, *k, low=-0.5, high=0.5)
        b = draw(filters)
        op = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[x.dim()]
        params = {"weight": (w, weight), "bias": (b, same)}
        record(cases, name, lambda xs, p: op(xs[0], p["weight"], p["bias"], **kw), [x], params)

    def transposed(name, x, filters, k, **kw):
        groups = kw.get("groups", 1)
        w = draw(x.shape[1], filters // groups, *k, low=-0.5, high=0.5)
        op = {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}[x.dim()]
        params = {"weight": (w, weight), "bias": (draw(filters), same)}
        record(cases, name, lambda xs, p: op(xs[0], p["weight"], p["bias"], **kw), [x], params)

    def plain(name, x, f):
        record(cases, name, lambda xs, p: f(xs[0]), [x], {})

    conv("conv1d stride padding", draw(2, 3, 9), 4, (4,), stride=2, padding=1)
    conv("conv1d dilation", draw(2, 2, 10), 3, (3,), dilation=3, padding=2)
    conv("conv2d same", draw(2, 3, 5, 4), 4, (3, 3), padding=1)
    conv("conv2d stride dilation", draw(2, 2, 8, 7), 3, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(2, 3))
    conv("conv2d groups", draw(2, 4, 5, 5), 6, (3, 3), groups=2, padding=1)
    conv("conv2d depthwise", draw(1, 5, 6, 5), 10, (3, 3), groups=5, stride=2)
    conv("conv3d", draw(2, 2, 4, 3, 5), 3, (3, 2, 3), padding=(1, 0, 1), stride=(2, 1, 1))
    transposed("conv_transpose1d", draw(2, 3, 5), 2, (4,), stride=3, padding=1, output_padding=2)
    transposed("conv_transpose2d", draw(2, 3, 4, 3), 4, (3, 3), stride=2, padding=1, output_padding=1)
    transposed("conv_transpose2d groups dilation", draw(1, 4, 3, 4), 6, (3, 2), groups=2, dilation=2, padding=1)
    transposed("conv_transpose3d", draw(1, 2, 2, 3, 2), 3, (2, 2, 2), stride=2)
    w = draw(5, 7, low=-0.5, high=0.5)
    dense = {"weight": (w, lambda v: v.t()), "bias": (draw(5), same)}
    record(cases, "linear", lambda xs, p: F.linear(xs[0], p["weight"], p["bias"]), [draw(4, 7)], dense)
    plain("max_pool2d", draw(2, 3, 7, 6), lambda x: F.max_pool2d(x, 3, stride=2, padding=1))
    plain("max_pool1d", draw(2, 2, 9), lambda x: F.max_pool1d(x, 2))
    plain("max_pool3d", draw(1, 2, 4, 5, 4), lambda x: F.max_pool3d(x, 2, stride=(2, 1, 2)))
    plain("avg_pool2d", draw(2, 3, 6, 5), lambda x: F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False))
    plain("avg_pool2d full", draw(2, 3, 6, 5), lambda x: F.avg_pool2d(x, 3, stride=2, padding=1))
    plain("adaptive_avg_pool2d", draw(2, 5, 4, 3), lambda x: F.adaptive_avg_pool2d(x, 1))
    plain("upsample nearest", draw(2, 3, 3, 4), lambda x: F.interpolate(x, scale_factor=2, mode="nearest"))
    plain("upsample bilinear", draw(2, 2, 3, 4), lambda x: F.interpolate(x, scale_factor=(2, 3), mode="bilinear"))
    plain("upsample bilinear corners", draw(2, 2, 3, 4), lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True))
    plain("upsample trilinear", draw(1, 2, 2, 3, 2), lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"))
    plain("local_response_norm", draw(2, 7, 2, 3), lambda x: F.local_response_norm(x, 5, alpha=0.8, beta=0.75, k=2.0))
    plain("relu", draw(3, 11), F.relu)
    plain("leaky_relu", draw(3, 11), lambda x: F.leaky_relu(x, 0.05))
    plain("elu", draw(3, 11), lambda x: F.elu(x, 0.7))
    plain("selu", draw(3, 11), F.selu)
    plain("gelu", draw(3, 11, low=-4, high=4), F.gelu)
    plain("silu", draw(3, 11, low=-4, high=4), F.silu)
    plain("tanh", draw(3, 11), torch.tanh)
    plain("sigmoid", draw(3, 11, low=-4, high=4), torch.sigmoid)
    plain("softplus", draw(3, 11, low=-4, high=4), F.softplus)
    plain("softmax", draw(3, 5, 2, 2), lambda x: F.softmax(x, dim=1))
    record(cases, "prelu", lambda xs, p: F.prelu(xs[0], p["slope"]), [draw(2, 4, 3, 3)], {"slope": (draw(4, low=0.1, high=0.5), same)})

    def affine(c):
        return {"scale": (draw(c, low=0.5, high=1.5), same), "shift": (draw(c), same)}

    def batch_norm(name, x, train):
        mean, var = draw(x.shape[1]), draw(x.shape[1], low=0.5, high=1.5)
        before = dict(running_mean=flat(mean), running_var=flat(var))
        m, v = mean.clone(), var.clone()

        def f(xs, p):
            return F.batch_norm(xs[0], m, v, p["scale"], p["shift"], training=train, momentum=0.1, eps=1e-5)

        record(cases, name, f, [x], affine(x.shape[1]), states=before)
        cases[-1]["states_after"] = dict(running_mean=flat(m), running_var=flat(v))

    batch_norm("batch_norm train", draw(3, 4, 3, 2), True)
    batch_norm("batch_norm train vector", draw(6, 5), True)
    batch_norm("batch_norm eval", draw(3, 4, 3, 2), False)
    record(cases, "group_norm", lambda xs, p: F.group_norm(xs[0], 2, p["scale"], p["shift"], eps=1e-5), [draw(2, 6, 3, 2)], affine(6))
    record(cases, "instance_norm", lambda xs, p: F.group_norm(xs[0], 3, p["scale"], p["shift"], eps=1e-5), [draw(2, 3, 4, 3)], affine(3))
    # Layer norm over (c, h, w) with one γ, β per channel is group norm with one group.
    record(cases, "layer_norm", lambda xs, p: F.layer_norm(xs[0], [9], p["scale"], p["shift"], eps=1e-5), [draw(3, 9)], affine(9))
    return cases


def losses():
    cases = []

    def loss(name, y, target, f, kind="values", per_row=None):
        """f gives one value for each row; the gradient is that of their mean."""
        y = y.clone().requires_grad_()
        rows = f(y)
        rows.mean().backward()
        t = last(target) if kind == "values" else target
        cases.append(dict(name=name, rows=y.shape[0], y=dict(extent=extent(y), v=flat(last(y))), kind=kind,
                          target=[int(v) for v in t.reshape(-1)] if kind == "index" else flat(t),
                          value=flat(rows), dy=flat(last(y.grad))))

    def by_row(v):
        return v.reshape(v.shape[0], -1)

    y, t = draw(4, 5), draw(4, 5)
    loss("mse mean", y, t, lambda y: by_row((y - t) ** 2).mean(1))
    loss("mse half sum", y, t, lambda y: by_row(0.5 * (y - t) ** 2).sum(1))
    loss("l1 mean", y, t, lambda y: by_row((y - t).abs()).mean(1))
    loss("huber mean", y, t, lambda y: by_row(F.huber_loss(y, t, delta=0.7, reduction="none")).mean(1))
    labels = torch.tensor([0, 3, 4, 1])
    logits = draw(4, 5, low=-4, high=4)
    loss("cross entropy", logits, labels, lambda y: F.cross_entropy(y, labels, reduction="none"), kind="index")
    loss("cross entropy smoothed", logits, labels, lambda y: F.cross_entropy(y, labels, reduction="none", label_smoothing=0.1), kind="index")
    soft = F.softmax(draw(4, 5), 1)
    soft = (soft * 1000).round() / 1000
    loss("cross entropy soft", logits, soft, lambda y: F.cross_entropy(y, soft, reduction="none"))
    classes = torch.tensor([0.5, 1.0, 2.0, 1.5, 3.0])
    loss("cross entropy weighted", logits, labels, lambda y: F.cross_entropy(y, labels, weight=classes, reduction="none"), kind="index")
    maps = draw(2, 3, 2, 2, low=-3, high=3)
    where = torch.tensor([[[0, 2], [1, 1]], [[2, 0], [0, 1]]])
    loss("cross entropy map mean", maps, where, lambda y: by_row(F.cross_entropy(y, where, reduction="none")).mean(1), kind="index")
    binary = (draw(4, 3) > 0).double()
    two = draw(4, 3, low=-4, high=4)
    loss("bce mean", two, binary, lambda y: by_row(F.binary_cross_entropy_with_logits(y, binary, reduction="none")).mean(1))
    three = torch.tensor([3.0, 3.0, 3.0])
    loss("bce pos_weight mean", two, binary, lambda y: by_row(F.binary_cross_entropy_with_logits(y, binary, pos_weight=three, reduction="none")).mean(1))
    mean, log_var, aim = draw(4, 2), draw(4, 2), draw(4, 2)
    both = torch.cat([mean, log_var], 1)

    def nll(y):
        return by_row(F.gaussian_nll_loss(y[:, :2], aim, y[:, 2:].exp(), reduction="none", eps=1e-12))

    loss("gaussian nll mean", both, aim, lambda y: nll(y).mean(1))
    return cases


def optimizers():
    """Ten steps on L = Σ r·y + ½·Σ y², y = x·w + b, over a fixed batch; weights after each step."""
    x, r = draw(4, 3), draw(4, 2)
    w0, b0 = draw(3, 2), draw(2)
    table = {
        "sgd": lambda p: torch.optim.SGD(p, 0.05),
        "sgd momentum decay": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.01),
        "sgd nesterov": lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, nesterov=True, weight_decay=0.02),
        "adam": lambda p: torch.optim.Adam(p, 0.02),
        "adam decay": lambda p: torch.optim.Adam(p, 0.02, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
        "amsgrad": lambda p: torch.optim.Adam(p, 0.1, amsgrad=True),
        "adamw": lambda p: torch.optim.AdamW(p, 0.02, weight_decay=0.1),
        "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9, weight_decay=0.1),
        "rmsprop centered momentum": lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9, momentum=0.7, centered=True),
        "adadelta": lambda p: torch.optim.Adadelta(p, 1.0, rho=0.8, weight_decay=0.05),
    }
    runs = {}
    for name, make in table.items():
        w, b = w0.clone().requires_grad_(), b0.clone().requires_grad_()
        opt = make([w, b])
        steps = []
        for _ in range(10):
            opt.zero_grad()
            y = x @ w + b
            ((r * y).sum() + 0.5 * (y**2).sum()).backward()
            opt.step()
            steps.append(dict(weight=flat(w), bias=flat(b)))
        runs[name] = steps
    return dict(x=flat(x), r=flat(r), weight=flat(w0), bias=flat(b0), runs=runs)


print(json.dumps(dict(program=f"PyTorch {torch.__version__.split('+')[0]}, CPU, float64", seed=11, command="python3 make_torch.py > torch.json",
                      layers=layers(), losses=losses(), optimizers=optimizers()), separators=(",", ":")))
