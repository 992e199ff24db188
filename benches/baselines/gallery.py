"""What the baselines of the gallery share: its skies, one training loop, the judges."""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

ROOT = Path(__file__).resolve().parents[2]


def sky(name, count, seed, folder):
    """A sky as the gallery makes it (the program $GALLERY, or cargo's): its inputs, channels last, and the targets, (n, values)."""
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{name}-*.npy"):
        old.unlink()
    built = os.environ.get("GALLERY")
    program = [built] if built else ["cargo", "run", "--release", "--quiet", "-p", "kamacite-gallery", "--"]
    subprocess.run([*program, "data", name, str(count), str(seed), str(folder)], cwd=ROOT, check=True)
    files = [folder / f"{name}-{which}.npy" for which in ("x", "x1", "x2")]
    return [np.load(f) for f in files if f.exists()], np.load(folder / f"{name}-t.npy")


def images(x):
    """(n, d, h, w, c) with d = 1 to the (n, c, h, w) of PyTorch."""
    return np.ascontiguousarray(x[:, 0].transpose(0, 3, 1, 2))


def lines(x):
    """(n, 1, 1, w, c) to (n, c, w)."""
    return np.ascontiguousarray(x[:, 0, 0].transpose(0, 2, 1))


def he(net, last=None, small=0.01):
    """What the systems start from: He's weights, small ones in the layer before the loss, zero biases."""
    for layer in net.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    if last is not None:
        nn.init.normal_(last.weight, std=small)
    return net


def fit(net, loss, optimizer, x, t, batch, epochs, cosine=True):
    """Trains on arrays; the last batch of an epoch may be short."""
    x, t = [torch.from_numpy(a) for a in x], torch.from_numpy(t)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs) if cosine else None
    for _ in range(epochs):
        net.train()
        total = 0.0
        for rows in torch.randperm(len(t)).split(batch):
            optimizer.zero_grad()
            value = loss(net(*(a[rows] for a in x)), t[rows])
            value.backward()
            optimizer.step()
            total += value.item() * len(rows)
        if schedule:
            schedule.step()
    return total / len(t)


def predict(net, x, batch=250):
    net.eval()
    parts = zip(*(torch.from_numpy(a).split(batch) for a in x))
    with torch.no_grad():
        return torch.cat([net(*part) for part in parts]).numpy()


def logistic(x, t, train):
    """Multinomial logistic regression on standardised values: the scores of the rest, under the best of three penalties."""
    x = x.reshape(len(x), -1)
    x = (x - x[:train].mean(0)) / (x[:train].std(0) + 1e-6)
    fits = [LogisticRegression(C=c, max_iter=100).fit(x[:train], t[:train]) for c in (1e-4, 1e-3, 1e-2)]
    best = max(fits, key=lambda f: f.score(x[train:], t[train:]))
    return best.score(x[train:], t[train:]), best.decision_function(x[train:])


def arguments():
    """A folder for the data, then seeds."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    return sys.argv[1], [int(s) for s in sys.argv[2:]] or [1, 2, 3]
