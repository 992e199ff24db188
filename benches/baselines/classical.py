"""The methods of examples/gallery/src/system/classical.rs in scikit-learn, on the same stars and clusters: classical.py FOLDER SEED...

scikit-learn 1.9:
seed=1 kmeans2d=0.025119 reached2d=0.848 kmeans3d=0.029508 reached3d=0.520 svm_counts=0.1886 neighbours_counts=0.7300
       svm_standardised=0.8943 neighbours_standardised=0.8543 linear=0.8457
seed=2 kmeans2d=0.020021 reached2d=0.802 kmeans3d=0.027559 reached3d=0.510 svm_counts=0.1800 neighbours_counts=0.7529
       svm_standardised=0.8914 neighbours_standardised=0.8429 linear=0.8657
seed=3 kmeans2d=0.021569 reached2d=0.844 kmeans3d=0.026519 reached3d=0.528 svm_counts=0.1714 neighbours_counts=0.7643
       svm_standardised=0.9029 neighbours_standardised=0.8671 linear=0.8857
"""
import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

ROOT = Path(__file__).resolve().parents[2]
N = 700


def data(name, count, seed, folder):
    command = ["cargo", "run", "--release", "--quiet", "-p", "kamacite-gallery", "--", "data", name, str(count), str(seed), str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    return np.load(folder / f"{name}-x.npy").reshape(count, -1), np.load(folder / f"{name}-t.npy").ravel().astype(int)


def main():
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for seed in [int(s) for s in sys.argv[2:]] or [1]:
        words = []
        for dims, k in ((2, 4), (3, 5)):
            points, _ = data(f"clusters{dims}d", 50 * k, seed, folder)
            best = KMeans(k, n_init=10, random_state=seed).fit(points).inertia_ / len(points)
            plain = [KMeans(k, init="random", n_init=1, tol=0, random_state=s).fit(points).inertia_ / len(points) for s in range(500)]
            words.append(f"kmeans{dims}d={best:.6f} reached{dims}d={np.mean(np.array(plain) < 1.02 * best):.3f}")
        x, t = data("stars", 2 * N, seed, folder)
        shapes = x / np.linalg.norm(x, axis=1, keepdims=True)
        shapes = (shapes - shapes[:N].mean(0)) / shapes[:N].std(0)
        for name, x in (("counts", x), ("standardised", shapes)):
            svm = SVC(gamma=0.001, C=100).fit(x[:N], t[:N]).score(x[N:], t[N:])
            nearest = KNeighborsClassifier(5).fit(x[:N], t[:N]).score(x[N:], t[N:])
            words.append(f"svm_{name}={svm:.4f} neighbours_{name}={nearest:.4f}")
        linear = max(LogisticRegression(C=c, max_iter=300).fit(shapes[:N], t[:N]).score(shapes[N:], t[N:]) for c in (1e-3, 1e-2, 1e-1))
        print(f"seed={seed}", *words, f"linear={linear:.4f}", flush=True)


main()
