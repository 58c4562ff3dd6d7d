"""Hyperparameters of mixtures of kernels by cross-validation inside the training set, over cached kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import dual_annealing

from hamlearn.errors import ConfigError
from hamlearn.kernels.mixtures import check_weights, mixture_weights
from hamlearn.models.positive import SINGULAR, FloatArray, IntArray, finite_array
from hamlearn.models.sparse_solvers import target_rows, variances

Loss = Literal["rmse", "mae"]
Bounds = Sequence[tuple[float, float]]

SINGULAR_LOSS = 1e100
"""Loss of hyperparameters for which the kernel cannot be inverted in double precision; finite for the annealer."""

PUBLISHED_BOUNDS = ((0.0, 12.0), (0.0, 100.0), (1.0, 15.0))
"""Of log10 a, b and log10 c0, for kernels as published and a regulariser of 1."""


def fold_indices(n: int, k: int, seed: int | None = None) -> list[IntArray]:
    """Return k disjoint folds of 0 ... n - 1, sizes differing by one at most, each ascending.

    Args:
        n: number of data, or of structures.
        k: number of folds.
        seed: deals at random; None: contiguous folds.

    Raises:
        ConfigError: unless 2 <= k <= n.
    """
    if not 2 <= k <= n:
        raise ConfigError(f"{n} data cannot be divided into {k} folds; expected from 2 to {n} folds")
    order = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
    return [np.sort(fold) for fold in np.array_split(order, k)]


def fold_residuals(k: ArrayLike, y: ArrayLike, folds: Sequence[IntArray], variance: ArrayLike = 1.0) -> FloatArray:
    """Return y_f - K_fr (K_rr + Lambda_rr)^-1 y_r [n, ...] of every fold f predicted by the rest r of the data.

    With C = (K + Lambda)^-1 of all data this is C_ff^-1 (C y)_f: one factorisation serves all folds.

    Args:
        k: kernel of the data with themselves [n, n].
        y: data [n, ...].
        folds: rows of each fold, disjoint; rows in none are always trained on, their residual is zero.
        variance: squared tolerance of each datum [n], or one number.

    Raises:
        ConfigError: for shapes that do not fit, bad numbers, or if K + Lambda is singular to rounding.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), section 5.4.2, for blocks.
    """
    ...
