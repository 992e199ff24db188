"""What the baselines share: reading the generated data, a linear model, one training loop."""
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

ROOT = Path(__file__).resolve().parents[2]


def data(name, count, seed, folder):
    """Samples made by the crate itself, channels last."""
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    x, t = folder / f"{name}-x.npy", folder / f"{name}-t.npy"
    command = ["cargo", "run", "--release", "--quiet", "--example", "synth", "--", name, str(count), str(seed), str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return np.load(x), np.load(t).astype("int64")


def linear(x, t, train):
    """Multinomial logistic regression on standardised pixels: accuracy on the rest, best of three penalties."""
    x = x.reshape(len(x), -1)
    x = (x - x[:train].mean(0)) / (x[:train].std(0) + 1e-6)
    scores = [LogisticRegression(C=c, max_iter=100).fit(x[:train], t[:train]).score(x[train:], t[train:]) for c in (1e-4, 1e-3, 1e-2)]
    return max(scores)


def he(net):
    """What the examples start from: He's weights, small ones before the softmax, zero biases."""
    for layer in net:
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    nn.init.normal_(net[-1].weight, std=0.01)
    return net


def fit(make, optimizer, x, t, train, batch, epochs, seed, cosine=False):
    """Trains on the first `train` samples; returns first loss, accuracy on the others, seconds."""
    torch.manual_seed(seed)
    net = he(make())
    x, t = torch.from_numpy(x), torch.from_numpy(t)
    opt = optimizer(net.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, epochs) if cosine else None
    with torch.no_grad():
        first = nn.functional.cross_entropy(net(x[:1000]), t[:1000]).item()
    start = time.perf_counter()
    for _ in range(epochs):
        net.train()
        for rows in torch.randperm(train).split(batch):
            opt.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), t[rows]).backward()
            opt.step()
        if schedule:
            schedule.step()
    net.eval()
    with torch.no_grad():
        y = torch.cat([net(part) for part in x[train:].split(500)]).argmax(1)
    return first, (y == t[train:]).float().mean().item(), time.perf_counter() - start


def main(name, count, train, make, optimizer, prepare, batch, epochs, cosine=False):
    """Prints what the header of a script quotes. Arguments: a folder for the data, then seeds."""
    torch.set_num_threads(2)
    folder, seeds = sys.argv[1], [int(s) for s in sys.argv[2:]] or [1]
    x, t = data(name, count, 1, folder)
    print(f"linear accuracy={linear(x, t, train):.4f}", flush=True)
    x = prepare(x)
    for seed in seeds:
        first, accuracy, seconds = fit(make, optimizer, x, t, train, batch, epochs, seed, cosine)
        print(f"seed={seed} first_loss={first:.3f} accuracy={accuracy:.4f} seconds={seconds:.1f}", flush=True)
