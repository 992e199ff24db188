"""The network of the gallery's supernovae in PyTorch, on the same maps: supernovae.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
linear accuracy=0.9067
seed=1 accuracy=0.9533 15483
seed=2 accuracy=0.9540 15483
seed=3 accuracy=0.9500 15483
"""
import torch
from torch import nn

from gallery import arguments, fit, he, images, logistic, predict, sky


def make():
    body, before = [], 2
    for filters in (8, 16, 32, 32):
        body += [nn.Conv2d(before, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2)]
        before = filters
    head = nn.Linear(32, 3)
    return he(nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head), head)


folder, seeds = arguments()
(x,), t = sky("supernovae", 4500, 1, folder)
t, train = t[:, 0].astype("int64"), 3000
print(f"linear accuracy={logistic(x, t, train)[0]:.4f}", flush=True)
x = images(x)
for seed in seeds:
    torch.manual_seed(seed)
    net = make()
    fit(net, nn.CrossEntropyLoss(), torch.optim.Adam(net.parameters(), 2e-3), [x[:train]], t[:train], 32, 10)
    y = predict(net, [x[train:]]).argmax(1)
    print(f"seed={seed} accuracy={(y == t[train:]).mean():.4f}", sum(p.numel() for p in net.parameters()), flush=True)
