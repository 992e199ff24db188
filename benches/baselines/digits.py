"""The network of examples/digits.rs in PyTorch, on the same digits: digits.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9, two threads of a shared AVX-512 machine:
linear accuracy=0.9810
seed=1 first_loss=2.308 accuracy=0.9985 seconds=29.5 (examples/digits.rs just before and after: 5.3, 4.0; other programs running)
"""
import numpy as np
import torch
from torch import nn

from training import main


def make():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 256), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(128, 10),
    )


def prepare(x):
    return np.ascontiguousarray(x.reshape(-1, 28, 28, 1).transpose(0, 3, 1, 2))


main("digits", 12_000, 10_000, make, lambda p: torch.optim.SGD(p, lr=8e-3, momentum=0.9), prepare, batch=32, epochs=5)
