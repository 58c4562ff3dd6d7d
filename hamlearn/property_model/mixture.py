"""The mixture of kernel orders with the smallest cross-validated error."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hamlearn.config import KernelSettings, ModelSettings
from hamlearn.errors import ConfigError
from hamlearn.kernels.mixtures import mixture_weights
from hamlearn.models.sparse_solvers import factorise_kernel
from hamlearn.property_model.fitting import hold_out

FloatArray = NDArray[np.float64]

GRID_A = tuple(10.0**k for k in range(0, 11))
GRID_B = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
GRID_C0 = (1.0, 1e3, 1e6)


@dataclass(frozen=True)
class MixtureFit:
    a: float
    b: float
    c0: float
    weights: FloatArray
    error: float


def search_mixture(
    parts: FloatArray, y: FloatArray, kernel: KernelSettings, model: ModelSettings, m: int
) -> MixtureFit:
    from hamlearn.property_model.training import structure_folds

    n = len(y) // m
    folds = [np.arange(f.start * m, f.stop * m) for f in structure_folds(n, model.folds)]
    invariant = np.any(parts[0])
    best = None
    grid_a = (kernel.a,) if kernel.a is not None else GRID_A
    grid_b = (kernel.b,) if kernel.b is not None else (GRID_B if len(parts) > 2 else (1.0,))
    grid_c = (kernel.c0,) if kernel.c0 is not None else (GRID_C0 if invariant else (0.0,))
    for c0, b, a in product(grid_c, grid_b, grid_a):
        w = mixture_weights(a, b, c0, len(parts) - 1)
        try:
            f = factorise_kernel(np.tensordot(w, parts, 1), 1.0)
        except ConfigError:
            continue
        h = f.whiten(np.eye(len(y)))
        inv = h.T @ h
        r = hold_out(inv, inv @ y, folds)[0]
        e = float(np.sqrt(np.mean(r**2))) if model.loss == "rmse" else float(np.mean(np.abs(r)))
        if best is None or e < best.error:
            best = MixtureFit(a, b, c0, w, e)
    assert best is not None
    return best
