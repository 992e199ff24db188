"""The networks of examples/gallery/src/system/contrastive.rs in PyTorch, on the same spectra: contrastive.py FOLDER SEED..."""
import os

import numpy as np
import torch
from torch import nn
from torch.nn import functional as f

from gallery import arguments, fit, he, logistic, predict
from sdss import TRAIN, spectra

EPOCHS, FEW = int(os.environ.get("EPOCHS", 40)), 100


def encoder():
    return nn.Sequential(
        nn.Conv1d(1, 32, 20, stride=10), nn.ReLU(), nn.MaxPool1d(3), nn.Conv1d(32, 64, 40, stride=10), nn.ReLU(), nn.MaxPool1d(3))


def view(x, r):
    n, bins = x.shape
    shift, scale, tilt = r.integers(-20, 21, n), r.uniform(0.7, 1.4, n), r.uniform(-0.2, 0.2, n)
    y = x[np.arange(n)[:, None], np.clip(np.arange(bins) + shift[:, None], 0, bins - 1)]
    y = y * (scale[:, None] * (1 + tilt[:, None] * np.linspace(-1, 1, bins)))
    y = y + r.uniform(0, 0.2, n)[:, None] * (r.random((n, bins), dtype="f4") - 0.5) * np.sqrt(12)
    for y_i in y:
        for _ in range(2):
            width, at = r.integers(300), r.integers(bins - 300)
            y_i[at:at + width] = 0
    return torch.from_numpy(y.astype("f4")[:, None])


def nt_xent(a, b, temperature):
    z = f.normalize(torch.cat([a, b]), dim=1)
    s = z @ z.T / temperature
    s.fill_diagonal_(-torch.inf)
    n = len(a)
    return f.cross_entropy(s, torch.cat([torch.arange(n, 2 * n), torch.arange(n)]))


def pretrain(x, seed):
    r = np.random.default_rng(seed)
    body, head = encoder(), nn.Sequential(nn.Conv1d(64, 64, 2), nn.ReLU(), nn.Conv1d(64, 32, 1), nn.Flatten())
    net = he(nn.Sequential(body, head))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(128):
            part = x[rows.numpy()]
            optimizer.zero_grad()
            nt_xent(net(view(part, r)), net(view(part, r)), 0.2).backward()
            optimizer.step()
    return body


def classify(body, x, t, x_test, t_test, frozen, epochs):
    last = nn.Linear(128, 4)
    nn.init.zeros_(last.bias)
    nn.init.normal_(last.weight, std=0.01)
    net = nn.Sequential(body, nn.Flatten(), last)
    for p in body.parameters():
        p.requires_grad_(not frozen)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-3)
    fit(net, nn.CrossEntropyLoss(), optimizer, [x], t, 50, epochs, cosine=False)
    return (predict(net, [x_test]).argmax(1) == t_test).mean()


def main():
    folder, seeds = arguments()
    _, x, _, t = spectra(folder)
    few, all_, test = slice(0, FEW), slice(0, TRAIN), slice(TRAIN, None)
    judged = np.r_[0:FEW, TRAIN:len(t)]
    print(f"linear model of {FEW} spectra: accuracy={logistic(x[judged], t[judged], FEW)[0]:.4f}", flush=True)
    for seed in seeds:
        torch.manual_seed(seed)
        judge = lambda body, part, frozen, epochs: classify(body, x[part], t[part], x[test], t[test], frozen, epochs)
        probe = judge(pretrain(x[all_, 0], seed), few, True, 300)
        random, supervised = judge(he(encoder()), few, True, 300), judge(he(encoder()), few, False, 300)
        everything = judge(he(encoder()), all_, False, 21)
        print(f"seed={seed} probe={probe:.4f} random={random:.4f} supervised={supervised:.4f} all_labels={everything:.4f}", flush=True)


if __name__ == "__main__":
    main()
