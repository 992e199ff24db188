"""The network of examples/galaxies.rs in PyTorch, on the same stamps: galaxies.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9, two threads of a shared AVX-512 machine:
linear accuracy=0.6570
seed=1 first_loss=1.608 accuracy=0.9600 (machine busy)
seed=2 first_loss=1.611 accuracy=0.9630 seconds=24.6 (examples/galaxies.rs just before and after: 9.4, 10.1, 8.7)
seed=3 first_loss=1.611 accuracy=0.9720 (machine busy)
"""
import numpy as np
import torch
from torch import nn

from training import main


def make():
    act = lambda: nn.LeakyReLU(0.1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, padding=2), act(), nn.MaxPool2d(2),
        nn.Conv2d(8, 24, 3, padding=1), act(), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1), act(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(48 * 6 * 6, 64), act(), nn.Dropout(0.3),
        nn.Linear(64, 5),
    )


def prepare(x):
    return np.ascontiguousarray(x.reshape(-1, 48, 48, 3).transpose(0, 3, 1, 2))


main("galaxies", 6000, 5000, make, lambda p: torch.optim.Adam(p, lr=1e-3), prepare, batch=32, epochs=12, cosine=True)
