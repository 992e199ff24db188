"""The network of the gallery's transits in PyTorch, on the same folded curves: transits.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
linear recall=0.1060 auc=0.8895
bls efficiency recall=0.0300 auc=0.7943  signal recall=0.0000 auc=0.6244
seed=1 recall=0.3010 auc=0.9197 59425
seed=2 recall=0.3000 auc=0.9227 59425
seed=3 recall=0.2870 auc=0.9215 59425
seed=4 recall=0.2640 auc=0.9221 59425
seed=5 recall=0.2970 auc=0.9228 59425
seed=6 recall=0.3420 auc=0.9280 59425
seed=7 recall=0.2830 auc=0.9232 59425
seed=8 recall=0.2540 auc=0.9227 59425
seed=9 recall=0.2390 auc=0.9140 59425
seed=10 recall=0.3220 auc=0.9248 59425
seed=11 recall=0.1970 auc=0.9169 59425
seed=12 recall=0.2760 auc=0.9207 59425
"""
import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from gallery import arguments, fit, he, lines, logistic, predict, sky


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        body, before = [], 1
        for filters in (16, 32, 32):
            body += [nn.Conv1d(before, filters, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2)]
            before = filters
        self.body = nn.Sequential(*body, nn.Flatten())
        self.hidden, self.head = nn.Linear(32 * 25 + 4, 64), nn.Linear(64, 1)

    def forward(self, x, facts):
        return self.head(torch.relu(self.hidden(torch.cat([self.body(x), facts], 1))))


def judge(scores, t):
    planets, others = scores[t == 1], scores[t == 0]
    limit = np.sort(others)[::-1][int(0.01 * len(others))]
    return f"recall={(planets > limit).mean():.4f} auc={roc_auc_score(t, scores):.4f}"


folder, seeds = arguments()
(x, facts), t = sky("transits", 6000, 1, folder)
t, facts, train = t[:, 0].astype("int64"), facts.reshape(len(t), -1), 4000
flat = np.hstack([x.reshape(len(x), -1), facts])
print("linear", judge(logistic(flat, t, train)[1], t[train:]), flush=True)
print("bls efficiency", judge(facts[train:, 0], t[train:]), " signal", judge(facts[train:, 1], t[train:]), flush=True)
x = lines(x)
for seed in seeds:
    torch.manual_seed(seed)
    net = Net()
    he(net, net.head)
    loss = lambda y, t: nn.functional.binary_cross_entropy_with_logits(y[:, 0], t.float())
    fit(net, loss, torch.optim.Adam(net.parameters(), 1e-3), [x[:train], facts[:train]], t[:train], 32, 15)
    found = judge(predict(net, [x[train:], facts[train:]])[:, 0], t[train:])
    print(f"seed={seed}", found, sum(p.numel() for p in net.parameters()), flush=True)
