"""PyTorch. Variants: eager, cl (channels_last), fused (fused optimizer), cl_fused, compile, compile_cl (torch.compile; fused optimizer)."""
import time

import common
import workload

VARIANTS = ["eager", "cl", "fused", "cl_fused", "compile", "compile_cl"]
o = common.cli(VARIANTS)
begun = time.perf_counter()
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(o.threads)
torch.set_num_interop_threads(1)
IMPORT = time.perf_counter() - begun
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}


class GlobalAverage(nn.Module):
    def forward(self, x):
        return x.mean(dim=tuple(range(2, x.dim())))


class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        nd = len(spec["input"]) - 1
        self.layers, self.wires = nn.ModuleList(), []
        for l, before, _ in workload.shapes(spec):
            t, wire, c = l["t"], None, before[0]
            if t in ("conv", "convt"):
                kind = (CONV if t == "conv" else TRANSPOSED)[nd]
                m = kind(c, l["c"], tuple(l["k"]), tuple(l["s"]), tuple(l["p"]))
            elif t in ("save", "concat"):
                m, wire = nn.Identity(), (t, l["n"])
            else:
                m = {"bn": lambda: BATCH[nd](c), "gn": lambda: nn.GroupNorm(l["g"], c), "relu": lambda: nn.ReLU(inplace=True),
                     "maxpool": lambda: POOL[nd](l["k"]), "gap": GlobalAverage, "flatten": nn.Flatten,
                     "dense": lambda: nn.Linear(c, l["n"]), "dropout": lambda: nn.Dropout(l["p"])}[t]()
            self.layers.append(m)
            self.wires.append(wire)

    def forward(self, x):
        saved = {}
        for m, wire in zip(self.layers, self.wires):
            if wire is None:
                x = m(x)
            elif wire[0] == "save":
                saved[wire[1]] = x
            else:
                x = torch.cat([x, saved[wire[1]]], 1)
        return x


def count(net, x):
    """Multiply-accumulates of one sample, from the weights and outputs that a forward pass meets; and the output."""
    macs, hooks = [], []

    def hook(m, args, y):
        if isinstance(m, nn.Linear):
            macs.append(m.weight.numel())
        elif isinstance(m, nn.modules.conv._ConvTransposeNd):
            macs.append(m.weight.numel() * args[0][0, 0].numel())
        else:
            macs.append(m.weight.numel() * y[0, 0].numel())

    for m in net.modules():
        if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd)):
            hooks.append(m.register_forward_hook(hook))
    with torch.inference_mode():
        y = net.eval()(x[:1])
    for h in hooks:
        h.remove()
    return sum(macs), y


def tensor(a, layout):
    """A channels-last array as PyTorch has it."""
    t = torch.from_numpy(a.copy())
    if t.dim() > 2:
        t = t.movedim(-1, 1).contiguous()
        t = t.to(memory_format=layout) if layout else t
    return t.long() if t.dtype == torch.int32 else t


def load(net, spec, path):
    """Writes the initial weights of a file into the layers, in PyTorch's order of axes."""
    f, flat = workload.read(path), workload.before_flatten(spec)
    for j, (i, name, _, _) in enumerate(workload.parameters(spec)):
        w, t = torch.from_numpy(f["p%d" % j].copy()), spec["layers"][i]["t"]
        if name == "weight" and i in flat:
            w = w.reshape(*workload.last(flat[i]), -1).movedim(-2, 0).reshape(w.shape)
        if name == "weight":
            # [k..., in, out] to [out, in, k...]; transposed: [k..., out, in] to [in, out, k...].
            w = w.T if t == "dense" else w.movedim((-1, -2), (0, 1))
        m = net.layers[i]
        p = m.weight if name in ("weight", "scale") else m.bias
        with torch.no_grad():
            p.copy_(w)


def optimizer(net, variant):
    fused = True if "fused" in variant or "compile" in variant else None
    if o.optimizer == "adam":
        return torch.optim.Adam(net.parameters(), lr=o.lr, fused=fused)
    return torch.optim.SGD(net.parameters(), lr=o.lr, momentum=0.9, fused=fused)


def build(o, variant):
    torch.manual_seed(0)
    spec, nd = o.spec, len(o.spec["input"]) - 1
    net, layout = Net(spec), None
    if "cl" in variant.split("_") and nd in (2, 3):
        layout = torch.channels_last if nd == 2 else torch.channels_last_3d
    if o.weights:
        load(net, spec, o.weights)
    if layout:
        net = net.to(memory_format=layout)
    params = sum(p.numel() for p in net.parameters())
    data = workload.batch(spec, o.batch)
    x, y = tensor(data["x"], layout), tensor(data["y"], layout)
    macs, out = count(net, x)
    assert list(out.shape[1:]) == list(spec["output"]), (out.shape, spec["output"])
    lossf = F.cross_entropy if spec["loss"] == "ce" else F.mse_loss
    opt = optimizer(net, variant)

    def fwd_loss(x, y):
        return lossf(net(x), y)

    forward = net
    if variant.startswith("compile"):
        fwd_loss, forward = torch.compile(fwd_loss), torch.compile(net)

    def one(x, y):
        loss = fwd_loss(x, y)
        loss.backward()
        opt.step()
        opt.zero_grad(set_to_none=True)
        return loss

    def step(n):
        if o.mode == "train":
            for _ in range(n):
                one(x, y)
        else:
            with torch.inference_mode():
                for _ in range(n):
                    forward(x)

    def train(x, y):
        net.train()
        return one(tensor(x, layout), tensor(y, layout)).item()

    def loss(x, y):
        net.eval()
        with torch.inference_mode():
            return lossf(net(tensor(x, layout)), tensor(y, layout)).item()

    net.train(o.mode == "train")
    return common.Built(params, macs, step, train, loss)


common.main(o, "torch", torch.__version__, IMPORT, build)
