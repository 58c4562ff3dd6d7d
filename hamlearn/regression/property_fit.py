"""Weights of a kernel model: scale of the kernel, solution, and what its uncertainty needs.

Values and gradients are in units of the spread of the values throughout, and the regulariser is the identity: what it
amounts to is decided by the scale of the kernel, that is by a and c0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import solve_triangular

from hamlearn.errors import ConfigError
from hamlearn.regression.folds_and_mixtures import fold_residuals
from hamlearn.regression.kernel_ridge import KernelRidge
from hamlearn.regression.positive import eigen_root
from hamlearn.regression.ridge import BlockRidge
from hamlearn.regression.sparse_solvers import Solver, SparseAccumulator
from hamlearn.regression.tiled_qr import merge
from hamlearn.types import BoolArray, FloatArray, IntArray

RELATIVE_RANK = 1e-12
"""Directions of the active set whose eigenvalue lies below this fraction of the largest are rounding noise."""

LARGEST_SIGNAL = 1e11
"""Prior variance of a datum over its noise: more would leave no digits to uncertainties and forces."""

SCALES = tuple(10.0**k for k in range(-2, 5))
"""Of the kernel when derivatives are learned, relative to the best one of values alone."""


class Rows(NamedTuple):
    """Some data and their kernels with the basis.

    Attributes:
        kernels: [row, basis], divided by the tolerance of the rows.
        y: data [row], divided by it as well.
        are_values: values or derivatives.
    """

    kernels: FloatArray
    y: FloatArray
    are_values: bool


@dataclass(frozen=True)
class Solution:
    """A fitted kernel model.

    Attributes:
        weights: [basis].
        mixture: weights of the parts of the kernel [n_parts], scaled so that the regulariser is 1.
        minus, plus: [basis, r]; the variance of a value with kernels k [basis] is k(A, A) - |k minus|^2 + |k plus|^2.
        noise: variance of a datum.
        amplitude: factor of both that explains the errors found by cross-validation.
    """

    weights: FloatArray
    mixture: FloatArray
    minus: FloatArray
    plus: FloatArray
    noise: float
    amplitude: float

    def std(self, diagonal: FloatArray, rows: FloatArray) -> FloatArray:
        """Return the standard deviation of values [value] from k(A, A) [value] and k [value, basis].

        Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 2.26 and 8.27.
        """
        variance = diagonal - ((rows @ self.minus) ** 2).sum(1) + ((rows @ self.plus) ** 2).sum(1)
        return np.sqrt(self.amplitude * (np.maximum(variance, 0.0) + self.noise))


def solve_full(
    gram: FloatArray,
    y: FloatArray,
    variance: FloatArray,
    mixture: FloatArray,
    folds: Sequence[IntArray],
    n_values: int,
) -> Solution:
    """Return the solution of (G + Lambda) x = y, for a basis that is the data themselves.

    Args:
        gram: kernels of the data, the values first [row, row].
        y: data [row].
        variance: of every datum [row].
        mixture: weights of the parts of the kernel.
        folds: rows held out together.
        n_values: number of values among the data.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018).
    """
    fit = KernelRidge().fit(gram, y, variance)
    weights, minus = fit.weights_, fit.factor_.whiten(np.eye(len(y))).T
    amplitude = _amplitude_full(minus @ minus.T, weights, folds, n_values)
    return Solution(weights, mixture, minus, np.zeros((len(y), 0)), float(variance[0]), amplitude)


def solve_scaled(
    gram: FloatArray,
    y: FloatArray,
    variance: FloatArray,
    mixture: FloatArray,
    folds: Sequence[IntArray],
    n_values: int,
    scales: Sequence[float] = SCALES,
) -> Solution:
    """Return :func:`solve_full` for the scale of the kernel with the smallest cross-validated error of all data."""
    largest = float((gram.diagonal() / variance).max())
    scales = [scale for scale in scales if scale * largest <= LARGEST_SIGNAL] or scales[:1]
    errors = []
    for scale in scales:
        try:
            residual = fold_residuals(scale * gram, y, folds, variance)
            errors.append(float(np.mean(residual**2 / variance)))
        except ConfigError:  # singular to rounding at this scale
            errors.append(np.inf)
    scale = scales[int(np.argmin(errors))]
    return solve_full(scale * gram, y, variance, scale * mixture, folds, n_values)


def _amplitude_full(inverse: FloatArray, weights: FloatArray, folds: Sequence[IntArray], n_values: int) -> float:
    """Return the mean ratio of squared errors of values to their variances, each fold predicted from the others.

    The most likely factor of all variances, were they independent.

    Args:
        inverse: of kernel and regulariser [row, row].
        weights: inverse times data [row].
        folds: rows held out together.
        n_values: rows that are values.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), sec. 5.4.2, for whole folds.
    """
    ratios = []
    for fold in folds:
        covariance, are_values = np.linalg.inv(inverse[np.ix_(fold, fold)]), fold < n_values
        ratios.append(((covariance @ weights[fold]) ** 2 / np.diagonal(covariance))[are_values])
    return float(np.concatenate(ratios).mean())


def solve_active(
    folds: Iterable[Iterable[Rows]],
    gram: FloatArray,
    mixture: FloatArray,
    diagonal: FloatArray,
    noise: float,
    owner: IntArray,
    scale: float | None = None,
    solver: Solver = "rkhs-qr",
) -> Solution:
    """Return the solution for active environments, with the scale of the kernel found by cross-validation or given.

    Rows come in tiles and are reduced to one triangular factor per fold, in the basis where the kernel of the active
    environments is the identity; those of values are kept for the calibration of the uncertainty. Another solver than
    rkhs-qr takes the same rows and the same scale.

    Args:
        folds: tiles of rows of every fold.
        gram: kernel of the active environments [basis, basis].
        mixture: weights of the parts of the kernel.
        diagonal: kernel of every value with itself, in the order of the rows [value].
        noise: variance of a value.
        owner: fold of the structure that each basis function is centred on [basis].
        scale: of the kernel; None: cross-validated.
        solver: of the weights, see :func:`hamlearn.regression.sparse_solvers.solve_sparse`.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018); variance: Rasmussen, Williams, Gaussian
    Processes for Machine Learning (2006), eq. 8.27.
    """
    projection = eigen_root(gram, RELATIVE_RANK, "the kernel of the active environments")
    rank = projection.shape[1]
    factors, values, n_rows = [], [], []
    other = None if solver == "rkhs-qr" else SparseAccumulator(gram, solver)
    for tiles in folds:
        pieces, kept, count = [], [np.zeros((0, rank + 1))], 0
        for rows in tiles:
            if other is not None:
                other.add(rows.kernels, rows.y)
            phi_y = np.column_stack([rows.kernels @ projection, rows.y])
            pieces.append(torch.from_numpy(phi_y))
            if sum(map(len, pieces)) > 3 * rank:  # few merges of many rows: a merge costs as much as 2 rank rows
                pieces = [merge(pieces)]
            kept += [phi_y] if rows.are_values else []
            count += len(phi_y)
        factors.append(merge(pieces))
        values.append(np.sqrt(noise) * np.concatenate(kept))
        n_rows.append(count)
    total = merge(factors).numpy()
    if scale is None:
        fit = BlockRidge().fit(factors, n_rows, rank)
        ridge = float(fit.alphas[0]) * float((total[:, :rank] ** 2).sum()) / sum(n_rows)
        ridge = max(ridge, float(diagonal.max()) / (noise * LARGEST_SIGNAL))
    else:
        ridge = 1.0 / scale
    if not ridge > 0:
        raise ConfigError("the kernels of all active environments vanish; give a larger cutoff_angstrom")
    features = projection.T @ gram
    maps = (_restriction(features, gram, owner != fold) for fold in range(len(factors)))
    amplitude = _amplitude_active(factors, values, maps, ridge, diagonal, noise)
    if other is not None:
        found = other.solution(ridge)
        plus = np.sqrt(ridge) * np.asarray(found.posterior)
        return Solution(ridge * found.weights, mixture / ridge, np.sqrt(ridge) * found.prior, plus, noise, amplitude)
    plain, half = _ridge(total, ridge)
    minus = projection * np.sqrt(ridge)  # where the scaled kernel of the active set is the identity
    plus = ridge * (projection @ half)
    return Solution(ridge * (projection @ plain), mixture / ridge, minus, plus, noise, amplitude)


def _ridge(factor: FloatArray, ridge: float) -> tuple[FloatArray, FloatArray]:
    """Return w = (X^T X + ridge)^-1 X^T y [r] and H with H H^T = (X^T X + ridge)^-1 [r, r], from a factor of [X y]."""
    rank = factor.shape[1] - 1
    stacked = np.vstack([factor, np.sqrt(ridge) * np.eye(rank, rank + 1)])
    r = np.asarray(np.linalg.qr(stacked, mode="r"))
    half = solve_triangular(r[:rank, :rank], np.eye(rank))
    return half @ r[:rank, rank], half


def _restriction(features: FloatArray, gram: FloatArray, kept: BoolArray) -> FloatArray:
    """Return the map from the features of all active environments to those of some of them [r, s].

    Args:
        features: of the active environments [r, basis].
        gram: kernel of the active environments [basis, basis].
        kept: those that remain [basis].
    """
    if not kept.any():
        return np.zeros((len(features), 0))
    root = eigen_root(gram[np.ix_(kept, kept)], RELATIVE_RANK, "the kernel of the active environments")
    return features[:, kept] @ root


def _amplitude_active(
    factors: Sequence[torch.Tensor],
    values: Sequence[FloatArray],
    maps: Iterable[FloatArray],
    ridge: float,
    diagonal: FloatArray,
    noise: float,
) -> float:
    """Return the mean ratio of squared errors of values to their variances, each fold predicted from the others.

    A fold is left out of the active environments as well: those of new structures are not among them, and what the
    basis cannot express is most of their variance.

    Args:
        factors: of the rows of every fold [k, r + 1].
        values: rows of the values of every fold [value, r + 1].
        maps: features without the active environments of a fold, of every fold [r, s].
        ridge: regulariser.
        diagonal: kernel of every value with itself [value].
        noise: variance of a value.
    """
    ratios, first = [], 0
    for k, (own, restrict) in enumerate(zip(values, maps, strict=True)):
        prior, first = diagonal[first : first + len(own)], first + len(own)
        if len(factors) < 2 or not restrict.shape[1]:
            continue
        rest = merge(f for j, f in enumerate(factors) if j != k).numpy()
        weights, half = _ridge(np.column_stack([rest[:, :-1] @ restrict, rest[:, -1]]), ridge)
        phi, y = own[:, :-1] @ restrict, own[:, -1]
        new = np.maximum(prior - (phi**2).sum(1), 0.0) / ridge
        ratios.append((phi @ weights - y) ** 2 / (new + ((phi @ half) ** 2).sum(1) + noise))
    return float(np.concatenate(ratios).mean()) if ratios else 1.0
