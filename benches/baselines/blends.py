"""The network of the gallery's blends in PyTorch, on the same stamps, and ridge regression on their pixels: blends.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
mean   bias=0.0173,0.0334 scatter=1.1101,1.1843 outliers=0.6730,0.6690
ridge  1.0 bias=-0.0021,0.0008 scatter=0.2952,0.8943 outliers=0.0735,0.5790
ridge  10.0 bias=-0.0031,0.0061 scatter=0.2204,0.6846 outliers=0.0225,0.4700
ridge  100.0 bias=-0.0035,0.0070 scatter=0.1813,0.4870 outliers=0.0035,0.3295
seed=1 bias=-0.0009,0.0081 scatter=0.1494,0.3099 outliers=0.0010,0.1305 69746
seed=2 bias=-0.0037,-0.0247 scatter=0.1471,0.2952 outliers=0.0015,0.1330 69746
seed=3 bias=-0.0157,0.0143 scatter=0.1401,0.3038 outliers=0.0005,0.1225 69746
"""
import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch import nn

from gallery import arguments, fit, he, images, predict, sky


def make():
    body, before = [], 2
    for filters in (16, 32, 32, 64):
        body += [nn.Conv2d(before, filters, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        before = filters
    head = nn.Linear(64, 2)
    return he(nn.Sequential(*body, nn.Flatten(), nn.Linear(64 * 3 * 3, 64), nn.ReLU(), head), head)


def judge(found, truth):
    r = -2.5 * (found - truth)
    mad = 1.4826 * np.median(np.abs(r - np.median(r, 0)), 0)
    return " ".join(f"{name}={v[0]:.4f},{v[1]:.4f}" for name, v in
                    (("bias", r.mean(0)), ("scatter", mad), ("outliers", (np.abs(r) > 0.5).mean(0))))


folder, seeds = arguments()
(x,), t = sky("blends", 8000, 1, folder)
train = 6000
mean, std = t[:train].mean(0), t[:train].std(0)
flat = x.reshape(len(x), -1)
print("mean  ", judge(np.broadcast_to(mean, t[train:].shape), t[train:]))
for alpha in (10.0, 100.0, 1000.0):
    print("ridge ", alpha, judge(Ridge(alpha).fit(flat[:train], t[:train]).predict(flat[train:]), t[train:]), flush=True)
x = images(x)
for seed in seeds:
    torch.manual_seed(seed)
    net = make()
    fit(net, nn.MSELoss(), torch.optim.Adam(net.parameters(), 1e-3), [x[:train]], ((t - mean) / std)[:train].astype("float32"), 32, 12)
    print(f"seed={seed}", judge(predict(net, [x[train:]]) * std + mean, t[train:]), sum(p.numel() for p in net.parameters()), flush=True)
