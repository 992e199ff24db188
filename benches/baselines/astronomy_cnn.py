"""AstronomyCNN of examples/gallery/src/system/astronomy_cnn.rs in PyTorch, on the same stamps: astronomy_cnn.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
linear accuracy=0.6000
seed=1 accuracy=0.8250
seed=2 accuracy=0.8806
seed=3 accuracy=0.8722
"""
import copy

import numpy as np
import torch
from torch import nn

from gallery import arguments, he, logistic, predict, sky

SIDE, N, TRAIN, VALID, EPOCHS, BATCH = 64, 2400, 1680, 2040, 20, 16


def prepare(x):
    """B12 of the course."""
    low, high = np.percentile(x, [1, 99])
    x = np.clip(x, low, high)
    x = np.log(x - x.min() + 1)
    return ((x - x.min()) / (x.max() - x.min() + 1e-8)).astype("float32")


def make(side, filters=(32, 64, 128, 256), units=(512, 128), classes=5):
    net, before = [], 1
    for f in filters:
        net += [nn.Conv2d(before, f, 3, padding=1), nn.BatchNorm2d(f), nn.ReLU(), nn.MaxPool2d(2)]
        before = f
    net += [nn.Flatten()]
    before *= (side >> len(filters)) ** 2
    for u in units:
        net += [nn.Linear(before, u), nn.ReLU(), nn.Dropout(0.5)]
        before = u
    return nn.Sequential(*net, nn.Linear(before, classes))


def train(net, x, t, rows, valid, epochs, batch):
    """Adam 1e-3, halved when the accuracy on `valid` has not risen for more than 5 epochs; returns the best net."""
    opt = torch.optim.Adam(net.parameters(), lr=1e-3)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, mode="max", factor=0.5, patience=5)
    x, t = torch.from_numpy(x), torch.from_numpy(t)
    best, kept = -1.0, None
    for _ in range(epochs):
        net.train()
        for part in rows[torch.randperm(len(rows))].split(batch):
            opt.zero_grad()
            nn.functional.cross_entropy(net(x[part]), t[part]).backward()
            opt.step()
        accuracy = (predict(net, [x[valid].numpy()], 50).argmax(1) == t[valid].numpy()).mean()
        plateau.step(accuracy)
        if accuracy > best:
            best, kept = accuracy, copy.deepcopy(net.state_dict())
    net.load_state_dict(kept)
    return net


def main():
    folder, seeds = arguments()
    [x], t = sky("stamps", N, 1, folder)
    x, t = np.stack([prepare(x) for x in x[..., 0].reshape(N, 1, SIDE, SIDE)]), t.ravel().astype("int64")
    keep = np.r_[0:TRAIN, VALID:N]
    print(f"linear accuracy={logistic(x[keep], t[keep], TRAIN)[0]:.4f}", flush=True)
    for seed in seeds:
        torch.manual_seed(seed)
        net = make(SIDE)
        he(net, net[-1])
        train(net, x, t, torch.arange(TRAIN), slice(TRAIN, VALID), EPOCHS, BATCH)
        accuracy = (predict(net, [x[VALID:]], 50).argmax(1) == t[VALID:]).mean()
        print(f"seed={seed} accuracy={accuracy:.4f}", flush=True)


if __name__ == "__main__":
    main()
