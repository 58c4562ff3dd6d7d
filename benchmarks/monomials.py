"""Speed of weighted sums of monomials beside the rate of matrix products of the same core, in the same run.

    python benchmarks/monomials.py [REPEATS]

One core. Variables as many as pairs of ethanol have: 80 of charge 0, 50, 40 and 30 of charge 1, 2 and 3; degree 4, and
the 4000 most important monomials of charge 0 (even) and 1. Ten such models are called one after the other, as those of
several pairs of elements are, so that none finds its tables in the nearest cache. Rates count 8 operations for a
feature, output and row: a complex product and a weight. Every figure is the best of REPEATS runs, taken in turn with a
matrix product.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from hamlearn.o3.monomial_levels import Variables
from hamlearn.o3.monomials import MonomialTree
from hamlearn.o3.tree_contraction import TreeContraction, is_compiled

ELL, DEGREE, FEATURES, KEYS, MODELS = 2.0, 4, 4000, ((0, 1), (1, 0)), 10


def variables(seed: int = 0) -> Variables:
    """Variances that fall like those of principal components, 1 / ell^2 in all."""
    numbers = (80, 50, 40, 30)
    charges = np.repeat(np.arange(4), numbers)
    variances = np.concatenate([0.5**m * np.exp(-13 * np.arange(n) / n) for m, n in enumerate(numbers)])
    variances *= np.exp(0.3 * np.random.default_rng(seed).normal(size=len(variances)))
    return Variables(charges, variances / variances.sum() / ELL**2 / np.where(charges, 2, 1))


def seconds(run: Callable[[], object], n: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(n):
        run()
    return (time.perf_counter() - start) / n


def in_turn(runs: Sequence[Callable[[], object]], dtype: torch.dtype, repeats: int) -> tuple[list[float], float]:
    """Return the best time of each, s, and the best rate of a matrix product, GFlop/s."""
    a = torch.randn((1000, 1000), dtype=dtype)
    for run in runs:
        run()  # tables are made once
    best, gemm = [float("inf")] * len(runs), float("inf")
    for _ in range(repeats):
        gemm = min(gemm, seconds(lambda: a @ a))
        best = [min(b, seconds(run, 3)) for b, run in zip(best, runs, strict=True)]
    return best, 2e-9 * 1000**3 / gemm


def trees(v: Variables) -> None:
    for threshold in (1e-7, 1e-8, 1e-9, 1e-10):
        start = time.perf_counter()
        tree = MonomialTree(v, range(4), DEGREE, threshold)
        n = sum(len(level.parent) for level in tree.levels)
        print(f"threshold {threshold:.0e}: {n:7d} monomials in {time.perf_counter() - start:.3f} s")


def sums(repeats: int) -> None:
    rng, v = np.random.default_rng(0), variables()
    every = [MonomialTree(variables(seed), (0, 1), DEGREE, 1e-9, FEATURES) for seed in range(MODELS)]
    scale = np.sqrt(np.concatenate([v.variances, v.variances[v.n_real :]]))[:, None]
    print(f"\n{'outputs':>7}{'rows':>6}  {'precision':<10}{'us':>8}{'GFlop/s':>9}{'products':>10}{'torch, us':>11}")
    for n_out in (1, 4, 12):
        weights = {key: rng.normal(size=(FEATURES, n_out)) for key in KEYS}
        models = [TreeContraction(tree, weights) for tree in every]
        for rows in (1, 2, 12, 15, 36, 640):
            for dtype in (torch.float32, torch.float64):
                x = torch.from_numpy(rng.normal(size=(v.n_components, rows)) * scale).to(dtype)
                y = x.clone().requires_grad_()
                runs = [lambda x=x, m=models: [model(x) for model in m], lambda y=y, m=models: m[0](y)]
                (best, by_torch), gemm = in_turn(runs, dtype, repeats)
                rate = 8e-9 * rows * n_out * FEATURES * len(KEYS) * MODELS / best
                print(
                    f"{n_out:7d}{rows:6d}  {str(dtype)[6:]:<10}{1e6 * best / MODELS:8.1f}{rate:9.1f}{gemm:10.1f}"
                    f"{1e6 * by_torch:11.0f}"
                )


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    print(f"compiled loop: {'yes' if is_compiled() else 'no'}\n")
    trees(variables())
    sums(repeats)


if __name__ == "__main__":
    main()
