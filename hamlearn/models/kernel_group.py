"""Kernel regression of the blocks that share one kernel: regularisation, weights and posterior variance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, lapack, qr

from hamlearn.errors import ConfigError
from hamlearn.models.positive import cholesky_or_none, eigen_root
from hamlearn.models.sparse_solvers import SparseAccumulator

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RELATIVE_ALPHAS = tuple(10.0**-k for k in range(11, 0, -1))
"""1e-11 to 0.1, in units of the mean diagonal of the kernel."""

FIRST_TRIED = 6
"""Where the descent on the alphas begins: 1e-5."""

MOST_FOR_VARIANCE = 1500
"""Columns of the basis that variances are computed from; the others are left out, which makes variances larger."""

RELATIVE_EIGENVALUE = 1e-12

VANISHING = 1e-14
"""Mean diagonal of a kernel, of order 1 by its normalisation, that is zero by symmetry but for rounding."""


@dataclass(frozen=True)
class GroupFit:
    """Weights of blocks that share a kernel, and what is known of their errors.

    Attributes:
        weights: x in h = K x [row of the basis, block].
        alphas: relative regularisation of every block [block].
        cv_mse: mean squared error of the rows that were left out [block]; nan if none were.
        residuals: data minus prediction of rows left out [row, block], rows as in ``held``.
        held: which rows were left out, ascending.
        variance: F with Var = k(*, *) - (k F)(k F)^T, of all data [column, r]; None if not asked for.
        held_covariances: of the rows of every structure left out, for a prior variance of 1, by structure.
    """

    weights: FloatArray
    alphas: FloatArray
    cv_mse: FloatArray
    residuals: FloatArray
    held: IntArray
    variance: FloatArray | None
    held_covariances: dict[int, FloatArray]

    @property
    def scales(self) -> FloatArray:
        """Prior variance of every block: what makes squared errors of rows left out as large as predicted [block]."""
        expected = sum(float(np.trace(c)) for c in self.held_covariances.values())
        return (self.residuals**2).sum(axis=0) / expected if expected > 0 else np.zeros(len(self.alphas))


def fit_full(
    k: FloatArray, y: FloatArray, folds: Sequence[IntArray], owner: IntArray, variance: bool = False
) -> GroupFit:
    """Fit x = (K + alpha)^-1 y, alpha of every block by cross-validation in closed form.

    Args:
        k: kernel of all rows [row, row].
        y: data [row, block].
        folds: rows of every fold, together all rows; none: x = K^+ y, the limit of alpha -> 0.
        owner: structure of every row.
        variance: also find what error bars need.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 2.25, 2.26 and section 5.4.2.
    """
    scale = float(np.trace(k)) / len(k)
    if scale < VANISHING:
        held = np.arange(len(k) if folds else 0)
        return _nothing(len(k), y[held], held, owner[held], variance)
    if not folds:
        root = eigen_root(k, RELATIVE_ALPHAS[0], "the kernel of the training structure")
        return replace(_nothing(len(k), y[:0], np.arange(0), owner[:0], False), weights=root @ (root.T @ y))
    tried: dict[int, tuple[FloatArray, FloatArray]] = {}

    def evaluate(position: int) -> FloatArray:
        inverse = _inverse(k, scale * RELATIVE_ALPHAS[position])
        if inverse is None:
            return np.full(y.shape[1], np.inf)
        weights = inverse @ y
        residuals = np.concatenate([np.linalg.solve(inverse[np.ix_(f, f)], weights[f]) for f in folds])
        tried[position] = weights, residuals
        return (residuals**2).mean(axis=0)

    best, errors = descend(evaluate, y.shape[1])
    weights, residuals = (np.stack([tried[p][n][:, b] for b, p in enumerate(best)], axis=1) for n in (0, 1))
    held = np.concatenate(list(folds))
    order = np.argsort(held)
    covariances: dict[int, FloatArray] = {}
    factor = None
    if variance:
        alpha = scale * _common_alpha(best)
        inverse = _inverse(k, alpha)
        assert inverse is not None
        for fold in folds:
            covariance = np.linalg.inv(inverse[np.ix_(fold, fold)]) - alpha * np.eye(len(fold))
            for structure in np.unique(owner[fold]):
                own = np.flatnonzero(owner[fold] == structure)
                covariances[int(structure)] = covariance[np.ix_(own, own)]
        columns = variance_columns(len(k))
        factor = variance_factor(k[np.ix_(columns, columns)], k[:, columns], alpha)
    alphas = np.array([RELATIVE_ALPHAS[p] for p in best])
    return GroupFit(weights, alphas, errors, residuals[order], held[order], factor, covariances)


class SparseGroup:
    """Kernel regression on an active set, fed tile by tile; one part of the data is left out to choose alpha.

    Args:
        k_mm: kernel of the active set with itself [column, column].
        variance: also find what error bars need.
    """

    def __init__(self, k_mm: FloatArray, variance: bool = False) -> None:
        self._k_mm, self._variance = k_mm, variance
        self._scale = float(np.trace(k_mm)) / len(k_mm)
        self._rows = SparseAccumulator(k_mm) if self._scale > VANISHING else None
        self._columns = variance_columns(len(k_mm))
        self._factor = np.zeros((0, len(self._columns)))  # R with R^T R = K_SN K_NS, and rows not yet in it
        self._n_rows = 0

    def add(self, k: FloatArray, y: FloatArray) -> None:
        """Take in data: kernel with the active set [row, column] and values [row, block]."""
        if self._rows is None:
            return
        self._rows.add(k, y)
        self._n_rows += len(k)
        if self._variance:
            self._factor = np.vstack([self._factor, k[:, self._columns]])
            if len(self._factor) > 3 * len(self._columns):
                self._factor = qr(self._factor, mode="r", overwrite_a=True, check_finite=False)[0]
                self._factor = self._factor[: len(self._columns)]

    def fit(
        self, k_held: FloatArray, y_held: FloatArray, held: IntArray, owner: IntArray, priors: Mapping[int, FloatArray]
    ) -> GroupFit:
        """Choose alpha on the data left out so far, then take them in as well.

        Args:
            k_held: kernel of the rows left out with the active set [row, column].
            y_held: their values [row, block].
            held: which rows they are.
            owner: structure of each.
            priors: kernel of the rows of every structure left out with themselves, where variances are asked for.
        """
        rows = self._rows
        if rows is None:
            return _nothing(len(self._k_mm), y_held, held, owner, self._variance)
        tried: dict[int, FloatArray] = {}

        def evaluate(position: int) -> FloatArray:
            tried[position] = y_held
            if self._n_rows:  # otherwise all rows were left out
                tried[position] = y_held - k_held @ rows.solve(self._scale * RELATIVE_ALPHAS[position])
            return (tried[position] ** 2).mean(axis=0)

        best, errors = descend(evaluate, y_held.shape[1])
        residuals = np.stack([tried[p][:, b] for b, p in enumerate(best)], axis=1)
        alpha, factor = self._scale * _common_alpha(best), None
        covariances: dict[int, FloatArray] = {}
        k_ss = self._k_mm[np.ix_(self._columns, self._columns)]
        if self._variance:
            reduced = k_held[:, self._columns] @ variance_factor(k_ss, self._factor, alpha)
            parts = {int(s): reduced[owner == s] for s in np.unique(owner)}
            covariances = {s: priors[s] - part @ part.T for s, part in parts.items()}
        self.add(k_held, y_held)
        final = {p: rows.solve(self._scale * RELATIVE_ALPHAS[p]) for p in set(best)}
        weights = np.stack([final[p][:, b] for b, p in enumerate(best)], axis=1)
        if self._variance:
            factor = variance_factor(k_ss, self._factor, alpha)
        alphas = np.array([RELATIVE_ALPHAS[p] for p in best])
        return GroupFit(weights, alphas, errors, residuals, held, factor, covariances)


def _nothing(n_columns: int, y: FloatArray, held: IntArray, owner: IntArray, variance: bool) -> GroupFit:
    """Return the fit on a kernel that is zero: it predicts zero for the rows left out, and is sure of it."""
    n_blocks = y.shape[1]
    structures, sizes = np.unique(owner, return_counts=True)
    covariances = {int(s): np.zeros((n, n)) for s, n in zip(structures, sizes.tolist(), strict=True)}
    errors = (y**2).mean(axis=0) if len(y) else np.full(n_blocks, np.nan)
    alphas = np.full(n_blocks, RELATIVE_ALPHAS[0])
    factor = np.zeros((len(variance_columns(n_columns)), 0)) if variance else None
    weights = np.zeros((n_columns, n_blocks))
    return GroupFit(weights, alphas, errors, y, held, factor, covariances if variance else {})


def descend(evaluate: Callable[[int], FloatArray], n_blocks: int) -> tuple[list[int], FloatArray]:
    """Return the position of a minimum of each block's error on the alphas, and the error, trying as few as need be."""
    errors: dict[int, FloatArray] = {}

    def error(position: int, block: int) -> float:
        if not 0 <= position < len(RELATIVE_ALPHAS):
            return np.inf
        if position not in errors:
            errors[position] = np.nan_to_num(evaluate(position), nan=np.inf, posinf=np.inf)
        return float(errors[position][block])

    best = []
    for block in range(n_blocks):
        position = FIRST_TRIED
        step = 1 if error(position + 1, block) < error(position, block) else -1
        while error(position + step, block) < error(position, block):
            position += step
        best.append(position)
    found = np.array([errors[p][b] for b, p in enumerate(best)])
    if not np.isfinite(found).all():
        raise ConfigError("a kernel matrix is singular to rounding; look for structures that occur twice")
    return best, found


def variance_columns(n: int) -> IntArray:
    """Return the columns that variances are computed from, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, MOST_FOR_VARIANCE)).astype(np.int64))


def variance_factor(k_ss: FloatArray, rows: FloatArray, alpha: float) -> FloatArray:
    """Return F with K_SS^-1 - alpha (R^T R + alpha K_SS)^-1 = F F^T [column, r].

    Args:
        k_ss: kernel of the columns with themselves.
        rows: R, the kernel K_NS of data and columns or any R with R^T R = K_SN K_NS.
        alpha: regularisation.

    The variance that data leave of f is k(*, *) - (k F)(k F)^T; with all data as columns it is the exact one.

    Source: Quiñonero-Candela, Rasmussen, J. Mach. Learn. Res. 6, 1939 (2005), eq. 20 without noise.
    """
    root = eigen_root(k_ss, RELATIVE_EIGENVALUE, "the kernel of the active set")
    whitened = rows @ root  # before it is squared: K_SN K_NS has lost what alpha tells apart
    value, vector = eigh(whitened.T @ whitened, check_finite=False)
    value = value.clip(min=0.0)
    return root @ (vector * np.sqrt(value / (value + alpha)))


def _inverse(k: FloatArray, alpha: float) -> FloatArray | None:
    """Return (K + alpha)^-1, None if it is singular to rounding."""
    lower = cholesky_or_none(k + alpha * np.eye(len(k)))
    if lower is None:
        return None
    inverse: FloatArray = lapack.dpotri(lower, lower=True, overwrite_c=True)[0]
    return np.tril(inverse) + np.tril(inverse, -1).T


def _common_alpha(best: Iterable[int]) -> float:
    """Return the alpha of the variance of all blocks of a group, the middle one of theirs."""
    positions = sorted(best)
    return RELATIVE_ALPHAS[positions[len(positions) // 2]]
