"""What benches/gpu.rs measures, in PyTorch on the same card: gpu.py [--only gemm,conv] [--compile] [--smoke] [--device cuda]

Products by cuBLAS, convolutions by cuDNN (channels last, benchmark mode), networks eager, by torch.compile and as hand-captured CUDA
graphs. One JSON line for each case, with the names of benches/gpu.rs: medians and minima of seven blocks, each a replayed graph. A case that
fails is a line on stderr, and the rest goes on. `--compile` measures what torch.compile makes of the networks, which takes minutes, and without
it all else. `--device cpu --smoke` tries the script where there is no card; its times mean nothing.
"""
import argparse
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("--smoke", action="store_true")
OPTIONS.add_argument("--compile", action="store_true")
OPTIONS.add_argument("--only", default="copy,gemm,conv,few,memory,optim,step,network")
OPTIONS.add_argument("--device", default="cuda")
OPTIONS.add_argument("--seconds", type=float, default=0.3)
OPTIONS.add_argument("--workloads", default="")
O = OPTIONS.parse_args()
SMOKE, DEVICE, CUDA = O.smoke, torch.device(O.device), O.device.startswith("cuda")
SECONDS = 0.01 if SMOKE else O.seconds
TYPES = {"FP32": torch.float32, "TF32": torch.float32, "BF16": torch.bfloat16, "FP16": torch.float16}
ROTATED = 256 << 20


def pick(full, smoke):
    return smoke if SMOKE else full


def synchronize():
    if CUDA:
        torch.cuda.synchronize()


def precise(precision):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "TF32"


def graphed(run):
    """The work as one recorded graph, warmed up on a stream of its own."""
    if not CUDA:
        return run
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def blocks(run, seconds=None, per=1):
    """Seconds of seven blocks of calls."""
    def timed(count):
        synchronize()
        begun = time.perf_counter()
        for _ in range(count):
            run()
        synchronize()
        return (time.perf_counter() - begun) / count / per

    for _ in range(3):
        run()
    count = max(1, int((seconds or SECONDS) / 7 / max(timed(3) * per, 1e-7)))
    return [timed(count) for _ in range(7)]


def tell(what, case, peer, times, **more):
    print(json.dumps({"what": what, "case": case, "peer": peer, "us": statistics.median(times) * 1e6,
                      "min_us": min(times) * 1e6, **more}), flush=True)


def case(what, name, peer, run):
    """Prints the block means that `run` returns; says why not otherwise."""
    try:
        times = run()
        if statistics.median(times) <= 0:
            raise ValueError("noise swallowed the difference of two times")
        tell(what, name, peer, times)
    except Exception as e:  # noqa: BLE001: the others are still to be measured
        print(f"{what} {name} {peer}: {type(e).__name__}: {e}", file=sys.stderr, flush=True)
        if CUDA:
            torch.cuda.empty_cache()


def copy():
    n = pick(1 << 30, 1 << 16)
    a, b = (torch.ones(n, dtype=torch.uint8, device=DEVICE) for _ in range(2))
    case("copy", "copy", "torch", lambda: blocks(graphed(lambda: b.copy_(a))))


def gemm():
    for n in pick([4096, 8192], [64, 96]):
        for precision in ["BF16", "FP16", "TF32", "FP32"]:
            for layout in ["nn", "nt", "tn"]:
                def run():
                    precise(precision)
                    dtype = TYPES[precision]
                    sets = min(8, -(-ROTATED // (3 * n * n * (torch.finfo(dtype).bits // 8))))
                    operands = [[torch.rand(n, n, device=DEVICE).mul_(2).sub_(1).to(dtype) for _ in range(2)] for _ in range(sets)]
                    stored = lambda a, b: (a.t() if layout == "tn" else a, b.t() if layout == "nt" else b)
                    out = [torch.empty(n, n, device=DEVICE, dtype=dtype) for _ in range(sets)]

                    def all_sets():
                        for (a, b), c in zip(operands, out):
                            torch.mm(*stored(a, b), out=c)

                    times = blocks(graphed(all_sets), per=sets)
                    a, b = stored(*operands[0])
                    rows, columns = (torch.arange(256, device=DEVICE) * step % n for step in (7919, 104729))
                    exact = (a[rows].double() * b[:, columns].t().double()).sum(1)
                    wrong = (out[0][rows, columns].double() - exact).square().sum() / exact.square().sum()
                    print(json.dumps({"what": "error", "case": f"{precision} {layout} {n}", "peer": "cublas", "error": wrong.sqrt().item()}), flush=True)
                    return times
                case("gemm", f"{precision} {layout} {n}", "cublas", run)


def channels_last(*shape, dtype):
    return torch.randn(*shape, device=DEVICE).to(dtype).contiguous(memory_format=torch.channels_last)


def conv():
    torch.backends.cudnn.benchmark = True
    shapes = [(64, 112, 64), (128, 56, 64), (256, 28, 128), (512, 14, 256)]
    for channels, side, batch in pick(shapes, [(64, 6, 2)]):
        for precision in ["BF16", "TF32"]:
            def run(part):
                precise(precision)
                dtype = TYPES[precision]
                x, dy = (channels_last(batch, channels, side, side, dtype=dtype) for _ in range(2))
                w, bias = channels_last(channels, channels, 3, 3, dtype=dtype), torch.zeros(channels, device=DEVICE, dtype=dtype)
                masks = {"dgrad": [True, False, False], "wgrad": [False, True, True]}
                if part == "fwd":
                    return blocks(graphed(lambda: F.conv2d(x, w, bias, padding=1)))
                return blocks(graphed(lambda: torch.ops.aten.convolution_backward(
                    dy, x, w, [channels], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, masks[part])))
            for part in ["fwd", "wgrad", "dgrad"]:
                case("conv", f"{precision} 3x3 {channels} {part}", "cudnn", lambda: run(part))


def few():
    torch.backends.cudnn.benchmark = True
    for inputs, outputs, window, side, batch in [(1, 8, 5, 28, 1024), (8, 16, 5, 14, 1024), (1, 16, 5, 256, 16), (3, 16, 3, 128, 64), (16, 16, 3, 128, 64)]:
        side, batch = pick((side, batch), (8, 2))
        for precision in ["FP32", "BF16"]:
            def run():
                precise(precision)
                dtype = TYPES[precision]
                x = channels_last(batch, inputs, side, side, dtype=dtype).requires_grad_(inputs > 3)
                w = channels_last(outputs, inputs, window, window, dtype=dtype).requires_grad_()
                bias = torch.zeros(outputs, device=DEVICE, dtype=dtype, requires_grad=True)
                dy = channels_last(batch, outputs, side, side, dtype=dtype)
                wanted = [w, bias] + ([x] if inputs > 3 else [])
                return blocks(graphed(lambda: torch.autograd.grad(F.relu(F.conv2d(x, w, bias, padding=window // 2)), wanted, dy)))
            case("few", f"{precision} {inputs}-{outputs} {window}x{window}", "cudnn", run)


def memory():
    side, channels, batch = pick((64, 64, 128), (4, 16, 2))
    layers = {
        "relu": lambda: F.relu,
        "batch norm": lambda: nn.BatchNorm2d(channels, device=DEVICE),
        # In the type of the input: autocast would compute it in float32.
        "group norm": lambda: nn.GroupNorm(8, channels, device=DEVICE, dtype=TYPES[precision]),
        "max pool": lambda: nn.MaxPool2d(2),
        "average pool": lambda: nn.AvgPool2d(2),
    }
    for name, make in layers.items():
        for precision in ["FP32", "BF16"]:
            def run(part):
                x = channels_last(batch, channels, side, side, dtype=TYPES[precision]).requires_grad_()
                layer = make()
                wanted = [x] + (list(layer.parameters()) if isinstance(layer, nn.Module) else [])
                forward = blocks(graphed(lambda: layer(x)))
                if part == "fwd":
                    return forward
                dy = torch.randn_like(layer(x))
                both = blocks(graphed(lambda: torch.autograd.grad(layer(x), wanted, dy)))
                return [max(t - statistics.median(forward), 0) for t in both]
            for part in ["fwd", "bwd"]:
                case("memory", f"{precision} {name} {part}", "torch", lambda: run(part))


def optim():
    inputs, outputs = pick((8192, 4096), (64, 32))
    for name, make in [("sgd momentum", lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, fused=True)),
                       ("adam", lambda p: torch.optim.Adam(p, lr=1e-3, fused=True, capturable=CUDA))]:
        def run():
            p = [torch.randn((inputs + 1) * outputs, device=DEVICE, requires_grad=True)]
            p[0].grad = torch.randn_like(p[0])
            return blocks(graphed(make(p).step))
        case("optim", f"FP32 {name}", "torch fused", run)


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10),
    )


def perceptron(sizes):
    layers = [part for i, o in zip(sizes, sizes[1:]) for part in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def training(variant, precision, batch, net, shape, classes, resident):
    """Blocks of training steps; with `resident` data a batch is taken by index from more data on the card."""
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    precise(precision)
    net = net.to(DEVICE)
    if variant.endswith("channels last"):
        net = net.to(memory_format=torch.channels_last)
    loss_of, rows = nn.CrossEntropyLoss(), batch * resident
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, fused=True)
    x, labels = torch.randn(rows, *shape, device=DEVICE), torch.randint(0, classes, (rows,), device=DEVICE)
    if variant.endswith("channels last"):
        x = x.contiguous(memory_format=torch.channels_last)
    index = torch.randint(0, rows, (batch,), device=DEVICE)
    forward = torch.compile(net) if variant.startswith("compile") else net

    def step():
        optimizer.zero_grad(set_to_none=True)
        some, wanted = (x[index], labels[index]) if resident > 1 else (x, labels)
        with torch.autocast(O.device, dtype=torch.bfloat16, enabled=precision == "BF16"):
            loss = loss_of(forward(some), wanted)
        loss.backward()
        optimizer.step()

    if variant.startswith("compile"):
        for _ in range(3):
            step()
    return blocks(graphed(step) if "graph" in variant else step, seconds=2 * SECONDS)


def step():
    nets = [(f"lenet {p} {b}", p, b, lenet, (1, 28, 28), 10, 100) for p in ["FP32", "TF32", "BF16"] for b in pick([16, 64, 128], [2, 4, 6])]
    nets.append(("iris FP32 8", "FP32", 8, lambda: perceptron([4, 8, 3]), (4,), 3, 1000))
    nets += [(f"mlp64 {p} {b}", p, b, lambda: perceptron([64, 64, 64, 64, 10]), (64,), 10, 8) for p in ["FP32", "BF16"] for b in pick([128, 16384], [16, 32])]
    for name, precision, batch, net, shape, classes, resident in nets:
        # Compiling takes long: for the batch and the precisions of the goals.
        compiled = ["compile graph", "compile"] if name in ("lenet FP32 64", "lenet BF16 64", "iris FP32 8", "lenet FP32 4") else []
        for variant in compiled if O.compile else ["eager", "graph"]:
            case("step", name, f"torch {variant}", lambda: training(variant, precision, batch, net(), shape, classes, pick(resident, 3)))


def built(spec):
    """A network of workloads.json without branches, in two dimensions."""
    channels, side, layers, flat = spec["input"][0], spec["input"][1], [], None
    for l in spec["layers"]:
        kind = l["t"]
        if kind == "conv":
            layers.append(nn.Conv2d(channels, l["c"], l["k"], stride=l["s"], padding=l["p"]))
            channels, side = l["c"], (side + 2 * l["p"][0] - l["k"][0]) // l["s"][0] + 1
        elif kind == "dense":
            layers.append(nn.Linear(flat, l["n"]))
            flat = l["n"]
        elif kind == "maxpool":
            layers.append(nn.MaxPool2d(l["k"]))
            side //= l["k"]
        elif kind == "flatten":
            layers.append(nn.Flatten())
            flat = channels * side * side
        else:
            layers.append({"relu": nn.ReLU, "bn": lambda: nn.BatchNorm2d(channels), "gn": lambda: nn.GroupNorm(l["g"], channels),
                           "dropout": lambda: nn.Dropout(l["p"])}[kind]())
    return nn.Sequential(*layers)


def network():
    here = Path(__file__).resolve().parent
    files = [Path(O.workloads)] if O.workloads else [here / "workloads.json", here.parent / "workloads.json"]
    specs = json.loads(next(file for file in files if file.is_file()).read_text())
    batch, side = pick((64, 256), (1, 32))
    spec = {**specs["W7"], "input": [1, side, side]}
    for variant in ["compile graph channels last"] if O.compile else ["graph", "graph channels last", "eager channels last"]:
        case("network", "W7 train BF16 64", f"torch {variant}", lambda: training(variant, "BF16", batch, built(spec), (1, side, side), 5, 1))
    side = pick(512, 32)
    for batch in pick([1, 8], [1, 2]):
        for variant in ["compile graph channels last"] if O.compile else ["graph channels last", "eager channels last"]:
            def run():
                torch.backends.cudnn.benchmark = True
                net = built({**specs["W9"], "input": [1, side, side]}).to(DEVICE).eval().to(memory_format=torch.channels_last)
                x = torch.randn(batch, 1, side, side, device=DEVICE).contiguous(memory_format=torch.channels_last)
                forward = torch.compile(net) if variant.startswith("compile") else net
                with torch.no_grad(), torch.autocast(O.device, dtype=torch.bfloat16):
                    for _ in range(3):
                        forward(x)
                    call = partial(forward, x)
                    return blocks(graphed(call) if "graph" in variant else call, seconds=2 * SECONDS)
            case("network", f"W9 infer BF16 {batch}", f"torch {variant}", run)


print(json.dumps({"what": "peer", "torch": torch.__version__, "card": torch.cuda.get_device_name() if CUDA else "cpu",
                  "cudnn": torch.backends.cudnn.version()}), flush=True)
for group in O.only.split(","):
    {"copy": copy, "gemm": gemm, "conv": conv, "few": few, "memory": memory, "optim": optim, "step": step, "network": network}[group]()
