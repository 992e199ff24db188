"""What benches/gpu.rs measures, in PyTorch on the same card: gpu.py [--smoke]

Matrix products by cuBLAS; training steps of the course's network for digits, eager and as one hand-captured CUDA graph, on data that
lie on the device. One JSON line for each, medians of seven.
"""
import json
import statistics
import sys
import time

import torch
from torch import nn

SMOKE = "--smoke" in sys.argv
DEVICE = torch.device("cuda")


def timed(run, repeats):
    torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(repeats):
        run()
    torch.cuda.synchronize()
    return (time.perf_counter() - begun) / repeats


def median_of_seven(run, seconds):
    for _ in range(3):
        run()
    repeats = max(1, int(seconds / 7 / max(timed(run, 3), 1e-7)))
    times = sorted(timed(run, repeats) for _ in range(7))
    return times[3], times[0]


def gemm(name, dtype, tf32, n):
    torch.backends.cuda.matmul.allow_tf32 = tf32
    a, b = (torch.randn(n, n, device=DEVICE, dtype=dtype) for _ in range(2))
    c = torch.empty(n, n, device=DEVICE, dtype=dtype)
    median, least = median_of_seven(lambda: torch.mm(a, b, out=c), 0.1 if SMOKE else 2.0)
    print(json.dumps({"what": "gemm", "peer": "cublas", "precision": name, "n": n, "ms": median * 1e3, "min_ms": least * 1e3,
                      "tflops": 2 * n**3 / median / 1e12}), flush=True)


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10),
    ).to(DEVICE)


def lenet(variant, precision, batch):
    """One step on a batch taken by index, in channels-last where that is faster is left to cuDNN's benchmark mode."""
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "TF32"
    net, loss_of = network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, fused=True)
    images, labels = torch.randn(batch * 100, 1, 28, 28, device=DEVICE), torch.randint(0, 10, (batch * 100,), device=DEVICE)
    index = torch.randint(0, batch * 100, (batch,), device=DEVICE)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "BF16"):
            loss = loss_of(net(images[index]), labels[index])
        loss.backward()
        optimizer.step()
        return loss

    if variant == "graph":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(5):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        run = graph.replay
    else:
        run = step
    median, least = median_of_seven(run, 0.2 if SMOKE else 1.0)
    print(json.dumps({"what": "lenet", "peer": f"torch {variant}", "precision": precision, "batch": batch,
                      "us_per_step": median * 1e6, "min_us": least * 1e6}), flush=True)


print(json.dumps({"what": "peer", "torch": torch.__version__, "card": torch.cuda.get_device_name(),
                  "cudnn": torch.backends.cudnn.version()}), flush=True)
size = 256 if SMOKE else 4096
for name, dtype, tf32 in [("FP32", torch.float32, False), ("TF32", torch.float32, True), ("BF16", torch.bfloat16, False),
                          ("FP16", torch.float16, False)]:
    gemm(name, dtype, tf32, size)
for precision in ["FP32", "TF32", "BF16"]:
    for batch in [16, 64, 128]:
        for variant in ["eager", "graph"]:
            lenet(variant, precision, batch)
