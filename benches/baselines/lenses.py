"""The network of the gallery's lenses in PyTorch, on the same stamps: lenses.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
linear auc=0.9310 tpr0=0.3930 tpr01=0.6310
seed=1 auc=0.9920 tpr0=0.7690 tpr01=0.9140 24689
seed=2 auc=0.9861 tpr0=0.8000 tpr01=0.8770 24689
seed=3 auc=0.9711 tpr0=0.5740 tpr01=0.7590 24689
"""
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from gallery import arguments, fit, he, images, logistic, predict, sky


def make():
    body, before = [], 1
    for filters in (8, 16, 32, 64):
        body += [nn.Conv2d(before, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2)]
        before = filters
    head = nn.Linear(64, 1)
    return he(nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head), head)


def judge(scores, t):
    lenses, others = scores[t == 1], scores[t == 0]
    at = lambda share: (lenses > np.sort(others)[::-1][int(share * len(others))]).mean()
    return f"auc={roc_auc_score(t, scores):.4f} tpr0={at(0.0):.4f} tpr01={at(0.01):.4f}"


folder, seeds = arguments()
(x,), t = sky("lenses", 8000, 1, folder)
t, train = t[:, 0].astype("int64"), 6000
print("linear", judge(logistic(x, t, train)[1], t[train:]), flush=True)
x = images(x)
for seed in seeds:
    torch.manual_seed(seed)
    net = make()
    loss = lambda y, t: nn.functional.binary_cross_entropy_with_logits(y[:, 0], t.float())
    fit(net, loss, torch.optim.Adam(net.parameters(), 1e-3), [x[:train]], t[:train], 32, 10)
    print(f"seed={seed}", judge(predict(net, [x[train:]])[:, 0], t[train:]), sum(p.numel() for p in net.parameters()), flush=True)
