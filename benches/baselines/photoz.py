"""The network of the gallery's photoz in PyTorch, on the same stamps, and ridge regression on their pixels: photoz.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
mean   bias=0.00108 sigma_mad=0.07692 outliers=0.5365 crps=0.04900 pit_deviation=0.083
ridge  10.0 bias=0.00055 sigma_mad=0.04927 outliers=0.3070 absolute=0.04911
ridge  100.0 bias=0.00058 sigma_mad=0.04152 outliers=0.2025 absolute=0.04043
ridge  1000.0 bias=0.00024 sigma_mad=0.04262 outliers=0.2245 absolute=0.04135
seed=1 bias=-0.00117 sigma_mad=0.03433 outliers=0.1445 crps=0.02456 pit_deviation=0.099 225884
seed=2 bias=0.00003 sigma_mad=0.03483 outliers=0.1425 crps=0.02438 pit_deviation=0.063 225884
seed=3 bias=0.00011 sigma_mad=0.03381 outliers=0.1390 crps=0.02420 pit_deviation=0.064 225884
seed=4 bias=0.00008 sigma_mad=0.03452 outliers=0.1385 crps=0.02445 pit_deviation=0.079 225884
seed=5 bias=-0.00108 sigma_mad=0.03408 outliers=0.1445 crps=0.02452 pit_deviation=0.099 225884
seed=6 bias=-0.00017 sigma_mad=0.03437 outliers=0.1405 crps=0.02435 pit_deviation=0.075 225884
seed=7 bias=-0.00086 sigma_mad=0.03449 outliers=0.1500 crps=0.02466 pit_deviation=0.098 225884
seed=8 bias=-0.00035 sigma_mad=0.03435 outliers=0.1420 crps=0.02446 pit_deviation=0.068 225884
seed=9 bias=-0.00084 sigma_mad=0.03478 outliers=0.1535 crps=0.02471 pit_deviation=0.082 225884
seed=10 bias=-0.00026 sigma_mad=0.03453 outliers=0.1450 crps=0.02449 pit_deviation=0.081 225884
"""
import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch import nn

from gallery import arguments, fit, he, images, predict, sky

BINS, FARTHEST = 180, 0.4


class Block(nn.Module):
    def __init__(self, before, one, before3, three, before5, five, pooled):
        super().__init__()
        conv = lambda i, o, k: nn.Sequential(nn.Conv2d(i, o, k, padding=k // 2), nn.ReLU())
        self.a = conv(before, one, 1)
        self.b = nn.Sequential(conv(before, before3, 1), conv(before3, three, 3))
        self.c = nn.Sequential(conv(before, before5, 1), conv(before5, five, 5))
        self.d = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), conv(before, pooled, 1))

    def forward(self, x):
        return torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], 1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(5, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), Block(16, 16, 16, 24, 8, 8, 8), nn.AvgPool2d(2),
            Block(56, 24, 24, 32, 8, 16, 16), nn.AvgPool2d(2), nn.Flatten())
        self.hidden, self.head = nn.Linear(4 * 4 * 88 + 1, 128), nn.Linear(128, BINS)

    def forward(self, x, dust):
        return self.head(torch.relu(self.hidden(torch.cat([self.body(x), dust], 1))))


edges = np.linspace(0, FARTHEST, BINS + 1)


def scores(p, z):
    """CRPS on a fine grid, and the transform."""
    cdf = np.concatenate([np.zeros((len(p), 1)), p.cumsum(1)], 1)
    grid = np.linspace(0, FARTHEST, 7201)
    middle = 0.5 * (grid[1:] + grid[:-1])
    crps = np.mean([((np.interp(middle, edges, c) - (middle >= t)) ** 2).sum() * (grid[1] - grid[0]) for c, t in zip(cdf, z)])
    pit = np.array([np.interp(t, edges, c) for c, t in zip(cdf, z)])
    counts = np.histogram(pit, 10, (0, 1))[0] * 10 / len(z)
    return f"crps={crps:.5f} pit_deviation={np.sqrt(((counts - 1) ** 2).mean()):.3f}"


def judge(found, z):
    r = (found - z) / (1 + z)
    mad = 1.4826 * np.median(np.abs(r - np.median(r)))
    return f"bias={r.mean():.5f} sigma_mad={mad:.5f} outliers={(np.abs(r) > 0.05).mean():.4f}"


folder, seeds = arguments()
(x, dust), z = sky("photoz", 7000, 1, folder)
z, dust, train = z[:, 0].astype("float64"), dust.reshape(-1, 1), 5000
bins = np.minimum((z / FARTHEST * BINS).astype("int64"), BINS - 1)
prior = np.bincount(bins[:train], minlength=BINS) / train
print("mean  ", judge(z[:train].mean(), z[train:]), scores(np.tile(prior, (len(z) - train, 1)), z[train:]))
flat = np.hstack([x.reshape(len(x), -1), dust])
for alpha in (10.0, 100.0, 1000.0):
    found = Ridge(alpha).fit(flat[:train], z[:train]).predict(flat[train:])
    print("ridge ", alpha, judge(found, z[train:]), f"absolute={np.abs(found - z[train:]).mean():.5f}", flush=True)
x = images(x)
for seed in seeds:
    torch.manual_seed(seed)
    net = Net()
    he(net, net.head)
    fit(net, nn.CrossEntropyLoss(), torch.optim.Adam(net.parameters(), 1e-3), [x[:train], dust[:train]], bins[:train], 32, 10)
    p = torch.softmax(torch.from_numpy(predict(net, [x[train:], dust[train:]])), 1).numpy().astype("float64")
    found = p @ (0.5 * (edges[1:] + edges[:-1]))
    print(f"seed={seed}", judge(found, z[train:]), scores(p, z[train:]), sum(q.numel() for q in net.parameters()), flush=True)
