"""The network of examples/spectra.rs in PyTorch, on the same spectra."""
import numpy as np
import torch
from torch import nn

from training import main


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
    x = np.pad(x.reshape(-1, 1, 3753), ((0, 0), (0, 0), (0, 23)))
    return np.tanh(40 * np.clip(x, 0, 1))


main("spectra", 2100, 1400, make, lambda p: torch.optim.SGD(p, lr=2e-3, momentum=0.8, weight_decay=1e-3), prepare, batch=16, epochs=40)
