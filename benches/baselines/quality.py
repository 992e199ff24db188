"""QualityClassifier of examples/gallery/src/system/quality.rs in PyTorch, on the same frames: quality.py FOLDER SEED...

PyTorch 2.15, scikit-learn 1.9:
linear accuracy=0.4800
seed=1 accuracy=0.8800
seed=2 accuracy=0.9067
seed=3 accuracy=0.8933
"""
import numpy as np
import torch
from scipy.ndimage import zoom

from astronomy_cnn import make, train
from gallery import arguments, he, logistic, predict, sky

N, TRAIN, VALID, EPOCHS, BATCH = 450, 300, 375, 12, 16


def prepare(x):
    """B14 of the course: 160 x 160 to 128 x 128 by splines; 1st to 99th percentile, min-max."""
    x = zoom(x, 0.8, order=3)
    low, high = np.percentile(x, [1, 99])
    x = np.clip(x, low, high)
    return ((x - x.min()) / (x.max() - x.min() + 1e-8)).astype("float32")


def main():
    folder, seeds = arguments()
    [x], t = sky("frames", N, 1, folder)
    x, t = np.stack([prepare(x) for x in x.reshape(N, 160, 160)])[:, None], t.ravel().astype("int64")
    keep = np.r_[0:TRAIN, VALID:N]
    print(f"linear accuracy={logistic(x[keep], t[keep], TRAIN)[0]:.4f}", flush=True)
    for seed in seeds:
        torch.manual_seed(seed)
        net = he(make(128, (16, 32, 64, 128), (256,), 3))
        train(net, x, t, torch.arange(TRAIN), slice(TRAIN, VALID), EPOCHS, BATCH)
        accuracy = (predict(net, [x[VALID:]], 50).argmax(1) == t[VALID:]).mean()
        print(f"seed={seed} accuracy={accuracy:.4f}", flush=True)


main()
