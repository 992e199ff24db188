"""The network of examples/gallery/src/system/lightcones.rs in PyTorch, on the same cones: lightcones.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
seed=1 linear r2_of_four=0.742 -0.054 0.818 0.936 0.029 0.958 0.742
seed=1 network r2_of_four=0.547 -0.043 0.719 0.900 0.048 0.946 0.547
seed=2 linear r2_of_four=0.728 -0.024 0.845 0.941 0.004 0.958 0.728
seed=2 network r2_of_four=0.432 -0.095 0.716 0.854 -0.003 0.932 0.432
seed=3 linear r2_of_four=0.714 -0.028 0.831 0.941 0.009 0.944 0.714
seed=3 network r2_of_four=0.732 -0.046 0.732 0.920 0.025 0.910 0.807
"""
import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import nn

from gallery import arguments, sky

N, TRAIN, EPOCHS, BATCH = 750, 600, 16, 5


def make():
    conv = lambda i, o, d: (nn.Conv3d(i, o, (3, 3, d), stride=(1, 1, d if i == 1 else 1)), nn.ReLU())
    net = [*conv(1, 32, 10), *conv(32, 32, 2)]
    for i, o in ((32, 64), (64, 128)):
        net += [nn.MaxPool3d((2, 2, 1)), *conv(i, o, 2), nn.ConstantPad3d((0, 0, 1, 1, 1, 1), 0.0), *conv(o, o, 2)]
    net += [nn.AdaptiveAvgPool3d(1), nn.Flatten()]
    for i in (128, 128, 128):
        net += [nn.Linear(i, 128), nn.ReLU()]
    net = nn.Sequential(*net, nn.Linear(128, 6), nn.Sigmoid())
    for layer in net:
        if isinstance(layer, (nn.Conv3d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def r2(y, t):
    return 1 - ((y - t) ** 2).sum(0) / ((t - t.mean(0)) ** 2).sum(0)


def shown(scores):
    return f"r2_of_four={np.sort(scores)[2]:.3f} " + " ".join(f"{s:.3f}" for s in scores)


def main():
    folder, seeds = arguments()
    for seed in seeds:
        [x], t = sky("lightcones", N, seed, folder)
        t = t.reshape(N, 6)
        flat = x.reshape(N, -1, x.shape[3])
        moments = np.concatenate([flat.mean(1), flat.std(1)], 1)
        moments = (moments - moments[:TRAIN].mean(0)) / (moments[:TRAIN].std(0) + 1e-6)
        linear = RidgeCV(np.logspace(-2, 4, 13)).fit(moments[:TRAIN], t[:TRAIN]).predict(moments[TRAIN:])
        print(f"seed={seed} linear", shown(r2(linear, t[TRAIN:])), flush=True)
        torch.manual_seed(seed)
        net = make()
        x = np.arcsinh(10 * x)
        x = (x - x[:TRAIN].mean((0, 1, 2, 4))[:, None]) / (x[:TRAIN].std((0, 1, 2, 4)) + 0.1)[:, None]
        x, tt = torch.from_numpy(x.reshape(N, 1, *x.shape[1:4])), torch.from_numpy(t)
        opt = torch.optim.Adam(net.parameters(), lr=1e-3, amsgrad=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, EPOCHS)
        for _ in range(EPOCHS):
            net.train()
            for rows in torch.randperm(TRAIN).split(BATCH):
                opt.zero_grad()
                nn.functional.mse_loss(net(x[rows]), tt[rows]).backward()
                opt.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            y = torch.cat([net(part) for part in x[TRAIN:].split(50)]).numpy()
        print(f"seed={seed} network", shown(r2(y, t[TRAIN:])), flush=True)


main()
