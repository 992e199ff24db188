"""The network of examples/spectra.rs in PyTorch, on the same spectra: spectra.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9, two threads of a shared AVX-512 machine:
linear accuracy=0.8829
seed=1 first_loss=1.941 accuracy=0.9486 seconds=26.1 (examples/spectra.rs just before and after: 4.7, 4.7; other programs running)
seed=2 first_loss=1.956 accuracy=0.9557
"""
import numpy as np
import torch
from torch import nn

from training import main

TRAIN = 1400


def make():
    return nn.Sequential(
        nn.Conv1d(1, 8, 8, stride=4, padding=2), nn.ReLU(),
        nn.Conv1d(8, 16, 8, stride=4, padding=2), nn.ReLU(),
        nn.Conv1d(16, 32, 8, stride=4, padding=2), nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 59, 256), nn.ReLU(), nn.Dropout(0.4),
        nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.4),
        nn.Linear(256, 7),
    )


def prepare(x):
    x = x.reshape(-1, 3753)
    x = (x - x[:TRAIN].mean(0)) / x[:TRAIN].std(0)
    return np.pad(x[:, None, :], ((0, 0), (0, 0), (0, 23)))


main("spectra", 2100, TRAIN, make, lambda p: torch.optim.Adam(p, lr=1e-3), prepare, batch=32, epochs=30, cosine=True)
