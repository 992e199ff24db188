"""The networks of examples/gallery/src/system/uncertain.rs in PyTorch, on the same spectra: uncertain.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
seed=1 dropout accuracy=0.9220 ece=0.0159 temperature=0.873 then=0.0239 entropy=0.192,0.231,0.319,0.475,0.622
seed=1 bayes accuracy=0.8930 ece=0.0617 temperature=1.780 then=0.0373 entropy=0.136,0.159,0.226,0.280,0.446
seed=2 dropout accuracy=0.9330 ece=0.0144 temperature=0.984 then=0.0174 entropy=0.164,0.188,0.259,0.415,0.572
seed=2 bayes accuracy=0.8780 ece=0.0663 temperature=1.969 then=0.0262 entropy=0.146,0.162,0.193,0.266,0.315
seed=3 dropout accuracy=0.9420 ece=0.0223 temperature=0.761 then=0.0222 entropy=0.182,0.219,0.312,0.476,0.660
seed=3 bayes accuracy=0.8730 ece=0.0609 temperature=1.549 then=0.0244 entropy=0.202,0.206,0.251,0.383,0.453
"""
import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional as f

from gallery import arguments, he
from sdss import LEARN, TRAIN, network, normed, spectra

DRAWS, EPOCHS = 50, 60


class BayesLinear(nn.Module):
    """Weights drawn from N(mean, softplus(rho)^2) once a batch, prior N(0, 1)."""

    def __init__(self, inputs, units):
        super().__init__()
        self.plain = nn.Linear(inputs, units)
        start = float(np.log(np.expm1(0.03)))
        self.rho = nn.ParameterList([nn.Parameter(torch.full_like(p, start)) for p in self.plain.parameters()])

    def forward(self, x):
        drawn = [p + f.softplus(rho) * torch.randn_like(p) for p, rho in zip(self.plain.parameters(), self.rho)]
        return f.linear(x, *drawn)

    def divergence(self):
        pairs = [(p, f.softplus(rho)) for p, rho in zip(self.plain.parameters(), self.rho)]
        return sum((-torch.log(s) + (s * s + p * p) / 2 - 0.5).sum() for p, s in pairs)


def bayes():
    return he(nn.Sequential(
        nn.Conv1d(1, 32, 20, stride=10), nn.ReLU(), nn.MaxPool1d(3),
        nn.Conv1d(32, 64, 40, stride=10), nn.ReLU(), nn.MaxPool1d(3),
        nn.Flatten(), BayesLinear(128, 128), nn.ReLU(), BayesLinear(128, 4),
    ))


def train(net, x, t):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    x, t = torch.from_numpy(x), torch.from_numpy(t)
    drawn = [m for m in net if isinstance(m, BayesLinear)]
    for _ in range(EPOCHS):
        net.train()
        for rows in torch.randperm(len(t)).split(50):
            optimizer.zero_grad()
            loss = f.cross_entropy(net(x[rows]), t[rows]) + sum(m.divergence() for m in drawn) / len(t)
            loss.backward()
            optimizer.step()


def ask(net, x):
    """Probabilities of every draw; modules stay in training mode, so that masks are drawn."""
    net.train()
    with torch.no_grad():
        return np.stack([torch.softmax(net(torch.from_numpy(x)), 1).numpy() for _ in range(DRAWS)])


def ece(p, t, bins=15):
    top, right = p.max(1), p.argmax(1) == t
    which = np.clip(np.ceil(top * bins), 1, bins)
    return sum((which == b).mean() * abs(top[which == b].mean() - right[which == b].mean()) for b in np.unique(which))


def tempered(z, temperature):
    p = np.exp((z - z.max(1, keepdims=True)) / temperature)
    return p / p.sum(1, keepdims=True)


def main():
    folder, seeds = arguments()
    flux, x, error, t = spectra(folder)
    test = t[TRAIN:]
    for seed in seeds:
        for name, make in [("dropout", network), ("bayes", bayes)]:
            torch.manual_seed(seed)
            net = make()
            train(net, x[:LEARN], t[:LEARN])
            watched, found = [np.log(np.maximum(ask(net, part).mean(0), 1e-30)) for part in (x[LEARN:TRAIN], x[TRAIN:])]
            truth = t[LEARN:TRAIN]
            nll = lambda log: -np.log(tempered(watched, np.exp(log))[np.arange(len(truth)), truth] + 1e-300).sum()
            temperature = np.exp(minimize_scalar(nll, bounds=(-5, 5), method="bounded").x)
            entropies = []
            for times in (0, 1, 2, 4, 8):
                r = np.random.default_rng(11)
                noisy = flux[TRAIN:] + times * error[TRAIN:] * r.normal(size=flux[TRAIN:].shape)
                p = ask(net, normed(noisy)).mean(0)
                entropies.append(-(p * np.log(np.maximum(p, 1e-30))).sum(1).mean())
            p = tempered(found, 1.0)
            print(
                f"seed={seed} {name} accuracy={(p.argmax(1) == test).mean():.4f} ece={ece(p, test):.4f} temperature={temperature:.3f} "
                f"then={ece(tempered(found, temperature), test):.4f} entropy={','.join(f'{e:.3f}' for e in entropies)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
