"""Weights of a kernel model: mixture of orders, regularisation, solution, and what its uncertainty needs.

Values and forces are in units of the spread of the values throughout, and the regulariser is the identity: what it
amounts to is decided by the scale of the kernel, that is by a, b and c0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cholesky, eigh, solve_triangular

from hamlearn.config import KernelSettings, ModelSettings
from hamlearn.errors import ConfigError
from hamlearn.kernels.mixtures import mixture_weights
from hamlearn.models.block_ridge import BlockRidge
from hamlearn.models.tiled_qr import factor, merge

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Rows = tuple[FloatArray, FloatArray]
"""Kernels of data and basis [row, basis], and data [row]; both divided by the tolerance of the row."""

RELATIVE_RANK = 1e-12
"""Directions of the active set whose eigenvalue lies below this fraction of the largest are rounding noise."""


@dataclass(frozen=True)
class Solution:
    """A fitted kernel model.

    Attributes:
        weights: [basis].
        mixture: weights of the parts of the kernel [n_parts], scaled so that the regulariser is 1.
        minus, plus: [basis, r]; the variance of a value with kernels k [basis] is proportional to
            k(A, A) - |k minus|^2 + |k plus|^2.
        amplitude: the factor of that variance for which the data are most probable.
    """

    weights: FloatArray
    mixture: FloatArray
    minus: FloatArray
    plus: FloatArray
    amplitude: float

    def std(self, diagonal: FloatArray, rows: FloatArray) -> FloatArray:
        """Return the standard deviation of values [value] from k(A, A) [value] and k [value, basis].

        Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 2.26 and 8.14.
        """
        variance = diagonal - ((rows @ self.minus) ** 2).sum(1) + ((rows @ self.plus) ** 2).sum(1)
        return np.sqrt(self.amplitude * (np.maximum(variance, 0.0) + 1.0))


def solve_full(gram: FloatArray, y: FloatArray, variance: FloatArray, mixture: FloatArray) -> Solution:
    """Return the solution of (G + Lambda) x = y, for a basis that is the data themselves.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018).
    """
    lower = _cholesky(gram, variance)
    half = solve_triangular(lower, y, lower=True)
    weights = solve_triangular(lower, half, lower=True, trans="T")
    minus = solve_triangular(lower, np.eye(len(y)), lower=True).T
    return Solution(weights, mixture, minus, np.zeros((len(y), 0)), float(half @ half) / len(y))


def solve_scaled(
    gram: FloatArray, y: FloatArray, variance: FloatArray, mixture: FloatArray, folds: Sequence[IntArray]
) -> Solution:
    """Return the solution for the scale of the kernel with the smallest cross-validated error of all data."""
    errors = []
    for scale in SCALES:
        lower = _cholesky(scale * gram, variance)
        inverse = solve_triangular(lower, np.eye(len(y)), lower=True)
        inverse = inverse.T @ inverse
        residual = fold_residuals(inverse, inverse @ y, folds)
        errors.append(float(np.mean(residual**2 / variance)))
    scale = SCALES[int(np.argmin(errors))]
    return solve_full(scale * gram, y, variance, scale * mixture)


SCALES = tuple(10.0**k for k in range(-2, 5))
"""Of the kernel when forces are learned, relative to the best one of values alone."""


def fold_residuals(inverse: FloatArray, weights: FloatArray, folds: Sequence[IntArray]) -> FloatArray:
    """Return what each fold's data miss of predictions without that fold [row], (K^-1)_ff^-1 (K^-1 y)_f."""
    out = np.empty(len(weights))
    for fold in folds:
        out[fold] = np.linalg.solve(inverse[np.ix_(fold, fold)], weights[fold])
    return out


def solve_active(folds: Iterable[Iterable[Rows]], gram: FloatArray, mixture: FloatArray) -> Solution:
    """Return the solution for active environments, with the scale of the kernel found by cross-validation.

    Rows come in tiles and are reduced to one triangular factor per fold, in the basis where the kernel of the active
    environments is the identity.

    Args:
        folds: tiles of rows of every fold.
        gram: kernel of the active environments [basis, basis].
        mixture: weights of the parts of the kernel.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018).
    """
    projection = _projection(gram)
    factors, n_rows = [], []
    for tiles in folds:
        pieces, count = [], 0
        for kernels, y in tiles:
            pieces.append(factor(torch.from_numpy(kernels @ projection), torch.from_numpy(y[:, None])))
            pieces, count = [merge(pieces)], count + len(y)
        factors.append(pieces[0])
        n_rows.append(count)
    rank, rows = projection.shape[1], sum(n_rows)
    fit = BlockRidge().fit(factors, n_rows, rank)
    total = merge(factors).numpy()
    phi, target = total[:, :rank], total[:, rank]
    regulariser = float(fit.alphas[0]) * float((phi**2).sum()) / rows
    if not np.isfinite(regulariser):
        raise ConfigError("the kernels of all active environments vanish; give a larger cutoff_angstrom")
    plain = fit.weights[:, 0].numpy()
    loss = ((phi @ plain - target) ** 2).sum() + regulariser * (plain**2).sum()
    minus = projection * np.sqrt(regulariser)  # where the scaled kernel of the active set is the identity
    lower = np.linalg.cholesky(phi.T @ phi / regulariser + np.eye(rank))
    plus = minus @ solve_triangular(lower, np.eye(rank), lower=True).T
    return Solution(regulariser * (projection @ plain), mixture / regulariser, minus, plus, float(loss) / rows)


def _projection(gram: FloatArray) -> FloatArray:
    """Return P [basis, r] with P^T G P = 1, without the directions that are rounding noise."""
    value, vector = eigh(gram)
    kept = value > RELATIVE_RANK * max(value[-1], 0.0)
    return vector[:, kept] / np.sqrt(value[kept])


def _cholesky(gram: FloatArray, variance: FloatArray) -> FloatArray:
    try:
        return cholesky(gram + np.diag(variance), lower=True)
    except np.linalg.LinAlgError:
        raise ConfigError(
            "the kernel matrix is not positive definite, its weights are too large for double precision; give smaller "
            "a and c0, or leave them out"
        ) from None
