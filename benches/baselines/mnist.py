"""The networks of the gallery's mnist_mlp and mnist_cnn in PyTorch, on the same digits: mnist.py mlp|cnn FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
linear accuracy=0.9650
seed=1 accuracy=0.9800 loss=0.0679 parameters=101770
seed=2 accuracy=0.9830 loss=0.0532 parameters=101770
seed=3 accuracy=0.9810 loss=0.0523 parameters=101770
seed=4 accuracy=0.9820 loss=0.0539 parameters=101770
seed=5 accuracy=0.9840 loss=0.0481 parameters=101770
seed=6 accuracy=0.9860 loss=0.0508 parameters=101770
seed=7 accuracy=0.9840 loss=0.0498 parameters=101770
seed=8 accuracy=0.9830 loss=0.0591 parameters=101770
linear accuracy=0.9750
seed=1 accuracy=0.9970 loss=0.0077 parameters=1199882
seed=2 accuracy=0.9950 loss=0.0091 parameters=1199882
seed=3 accuracy=0.9970 loss=0.0109 parameters=1199882
"""
import sys

import torch
from torch import nn

from gallery import arguments, fit, images, logistic, predict, sky


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))


class Cnn(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))


def glorot(net):
    for layer in net:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


which = sys.argv.pop(1)
folder, seeds = arguments()
train, test = (12_000, 1000) if which == "mlp" else (6000, 1000)
(x,), t = sky("digits", train + test, 1, folder)
t = t[:, 0].astype("int64")
if which == "cnn":
    x, t = x[list(range(4800)) + list(range(6000, 7000))], t[list(range(4800)) + list(range(6000, 7000))]
    train = 4800
print(f"linear accuracy={logistic(x, t, train)[0]:.4f}", flush=True)
x = images(x)
for seed in seeds:
    torch.manual_seed(seed)
    net = glorot(mlp() if which == "mlp" else Cnn())
    if which == "mlp":
        optimizer, batch, epochs = torch.optim.Adam(net.parameters(), 1e-3), 32, 5
    else:
        optimizer, batch, epochs = torch.optim.Adadelta(net.parameters(), 1.0, rho=0.95, eps=1e-7), 128, 12
    fit(net, nn.CrossEntropyLoss(), optimizer, [x[:train]], t[:train], batch, epochs, cosine=False)
    y = predict(net, [x[train:]])
    loss = nn.functional.cross_entropy(torch.from_numpy(y), torch.from_numpy(t[train:])).item()
    count = sum(p.numel() for p in net.parameters())
    print(f"seed={seed} accuracy={(y.argmax(1) == t[train:]).mean():.4f} loss={loss:.4f} parameters={count}", flush=True)
