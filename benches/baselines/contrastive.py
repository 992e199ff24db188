"""The networks of examples/gallery/src/system/contrastive.rs in PyTorch, on the same spectra: contrastive.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
linear model of 100 spectra: accuracy=0.7140
linear model of 300 spectra: accuracy=0.7560
linear model of 1000 spectra: accuracy=0.7860
linear model of 3000 spectra: accuracy=0.8200
seed=1 probe=0.7630,0.8480,0.8390,0.8440 random=0.7100,0.7280,0.7230,0.7390 supervised=0.7920,0.8670,0.8870,0.9150
seed=2 probe=0.7650,0.8410,0.8450,0.8480 random=0.6940,0.7490,0.7430,0.7380 supervised=0.8170,0.8410,0.8850,0.9170
seed=3 probe=0.7970,0.8520,0.8680,0.8650 random=0.6720,0.7460,0.7160,0.7140 supervised=0.8140,0.8610,0.8760,0.9240
"""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as f

from gallery import arguments, fit, he, logistic, predict
from sdss import TRAIN, spectra

EPOCHS, COUNTS = 30, (100, 300, 1000, 3000)


def encoder():
    return nn.Sequential(
        nn.Conv1d(1, 32, 20, stride=10), nn.ReLU(), nn.MaxPool1d(3), nn.Conv1d(32, 64, 40, stride=10), nn.ReLU(), nn.MaxPool1d(3))


def view(x, r):
    n, bins = x.shape
    shift, scale, tilt = r.integers(-10, 11, n), r.uniform(0.7, 1.4, n), r.uniform(-0.05, 0.05, n)
    y = x[np.arange(n)[:, None], np.clip(np.arange(bins) + shift[:, None], 0, bins - 1)]
    y = y * (scale[:, None] * (1 + tilt[:, None] * np.linspace(-1, 1, bins)))
    y = y + r.uniform(0, 0.1, n)[:, None] * (r.random((n, bins), dtype="f4") - 0.5) * np.sqrt(12)
    for y_i in y:
        width, at = r.integers(200), r.integers(bins - 300)
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
            nt_xent(net(view(part, r)), net(view(part, r)), 0.1).backward()
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
    test = slice(TRAIN, None)
    for count in COUNTS:
        judged = np.r_[0:count, TRAIN:len(t)]
        print(f"linear model of {count} spectra: accuracy={logistic(x[judged], t[judged], count)[0]:.4f}", flush=True)
    for seed in seeds:
        torch.manual_seed(seed)
        learnt, blank = pretrain(x[:TRAIN, 0], seed), he(encoder())
        found = {}
        for count in COUNTS:
            epochs = min(max(60_000 // count, 20), 300)
            for name, body, frozen in (("probe", learnt, True), ("random", blank, True), ("supervised", he(encoder()), False)):
                accuracy = classify(body, x[:count], t[:count], x[test], t[test], frozen, epochs)
                found.setdefault(name, []).append(f"{accuracy:.4f}")
        print(f"seed={seed}", *(f"{name}={','.join(f)}" for name, f in found.items()), flush=True)


if __name__ == "__main__":
    main()
