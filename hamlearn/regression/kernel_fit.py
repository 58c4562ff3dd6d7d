"""Kernel regression of the blocks that share one kernel: regularisation, weights and posterior variance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve, eigh, lapack

from hamlearn.errors import ConfigError
from hamlearn.regression.positive import cholesky_or_none, eigen_root
from hamlearn.regression.sparse_solvers import SparseAccumulator, triangle
from hamlearn.types import BoolArray, FloatArray, IntArray

RELATIVE_ALPHAS = tuple(10.0**-k for k in range(11, -2, -1))
"""1e-11 to 10, in units of the mean diagonal of the kernel; the largest ones where levels jump between molecules."""

FIRST_TRIED = 6
"""Where the descent on the alphas begins: 1e-5."""

BETTER = 1 - 1e-9
"""A step is taken for an error that is smaller by more than rounding: of equal ones that nearest to the first stays."""

MOST_FOR_VARIANCE = 1500
"""Columns of the basis that variances are computed from; the others are left out, which makes variances larger."""

RELATIVE_EIGENVALUE = 1e-12

VANISHING = 1e-13
"""Diagonal of a kernel, as a fraction of the largest one its settings allow, that is zero by symmetry but for rounding,
or because the pair is beyond the cut-off."""


class SingularKernel(ConfigError):
    """A kernel matrix cannot be factorised with any regularisation that was tried."""


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
        reached: which rows left out have a kernel that is not zero; the others say nothing of the errors of these.
        spread: mean square of the data in units of the kernel, the prior variance where no row left out tells [block].
    """

    weights: FloatArray
    alphas: FloatArray
    cv_mse: FloatArray
    residuals: FloatArray
    held: IntArray
    variance: FloatArray | None
    held_covariances: dict[int, FloatArray]
    reached: BoolArray
    spread: FloatArray

    @property
    def scales(self) -> FloatArray:
        """Prior variance of every block: makes squared errors of rows left out as large as predicted; 0 without any."""
        if not self.held_covariances:
            return np.zeros(len(self.alphas))
        expected = sum(float(np.trace(c)) for c in self.held_covariances.values())
        return (self.residuals[self.reached] ** 2).sum(axis=0) / expected if expected > 0 else self.spread


def fit_full(
    k: FloatArray,
    y: FloatArray,
    folds: Sequence[IntArray],
    owner: IntArray,
    variance: bool = False,
    unit: float = 1.0,
    width: int = 1,
) -> GroupFit:
    """Fit x = (K + alpha)^-1 y, alpha of every block by cross-validation in closed form.

    Args:
        k: kernel of all rows [row, row].
        y: data [row, block].
        folds: rows of every fold, together all rows; none: x = K^+ y, the limit of alpha -> 0.
        owner: structure of every row.
        variance: also find what error bars need.
        unit: largest diagonal that the settings of the kernel allow.
        width: rows of a sample, 2L+1.

    Raises:
        SingularKernel: if no regularisation lets the kernel be factorised.

    Turning the rows of samples together with their data turns the weights, and leaves alphas and scales as they are.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 2.25, 2.26 and section 5.4.2.
    """
    scale = float(np.trace(k)) / len(k)
    if scale < VANISHING * unit:
        held = np.arange(len(k) if folds else 0)
        return _nothing(len(k), y[held], held, owner[held], variance, width)
    if not folds:
        root = eigen_root(k, RELATIVE_ALPHAS[0], "the kernel of the training structure")
        nothing = _nothing(len(k), y[:0], np.arange(0), owner[:0], False, width)
        return replace(nothing, weights=root @ (root.T @ y))
    held = np.concatenate(list(folds))
    order = np.argsort(held)
    reached = np.diagonal(k)[held[order]] > VANISHING * unit
    tried: dict[int, tuple[FloatArray, FloatArray]] = {}

    def evaluate(position: int) -> FloatArray:
        solved = _solved(k, y, scale * RELATIVE_ALPHAS[position])
        if solved is None:
            return np.full(y.shape[1], np.inf)
        weights, inverse = solved
        solution = inverse @ y  # consistent with the blocks of the inverse below
        residuals = np.concatenate([np.linalg.solve(inverse[np.ix_(f, f)], solution[f]) for f in folds])[order]
        tried[position] = weights, residuals
        return (residuals[reached] ** 2).mean(axis=0)

    best, errors = descend(evaluate, y.shape[1])
    weights, residuals = (np.stack([tried[p][n][:, b] for b, p in enumerate(best)], axis=1) for n in (0, 1))
    factor, covariances = None, {}
    if variance:
        alpha, columns = scale * _common_alpha(best), variance_columns(len(k), width)
        factor = variance_factor(k[np.ix_(columns, columns)], k[:, columns], alpha)
        covariances = _held_covariances(k, folds, owner, alpha, columns)
    alphas = np.array([RELATIVE_ALPHAS[p] for p in best])
    spread = (y**2).mean(axis=0) / scale
    return GroupFit(weights, alphas, errors, residuals, held[order], factor, covariances, reached, spread)


def _held_covariances(
    k: FloatArray, folds: Sequence[IntArray], owner: IntArray, alpha: float, columns: IntArray
) -> dict[int, FloatArray]:
    """Return the covariance of the rows of every structure given all folds but its own, from the same columns."""
    out = {}
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(k)), fold)
        own = np.setdiff1d(columns, fold)  # of the columns those that are not left out themselves
        reduced = np.zeros((len(fold), 0))  # with nothing left, the prior
        if len(own):
            reduced = k[np.ix_(fold, own)] @ variance_factor(k[np.ix_(own, own)], k[np.ix_(rest, own)], alpha)
        for structure in np.unique(owner[fold]):
            rows = np.flatnonzero(owner[fold] == structure)
            prior = k[np.ix_(fold[rows], fold[rows])]
            out[int(structure)] = prior - reduced[rows] @ reduced[rows].T
    return out


class SparseGroup:
    """Kernel regression on an active set, fed tile by tile; one part of the data is left out to choose alpha.

    Args:
        k_mm: kernel of the active set with itself [column, column].
        variance: also find what error bars need.
        unit: largest diagonal that the settings of the kernel allow.
        width: columns of a sample, 2L+1.
    """

    def __init__(self, k_mm: FloatArray, variance: bool = False, unit: float = 1.0, width: int = 1) -> None:
        self._k_mm, self._variance, self._width = k_mm, variance, width
        self._scale = float(np.trace(k_mm)) / len(k_mm)
        self._rows = SparseAccumulator(k_mm) if self._scale > VANISHING * unit else None
        self._columns = variance_columns(len(k_mm), width)
        self._factor = np.zeros((len(self._columns),) * 2)  # R with R^T R = K_SN K_NS
        self._n_rows, self._squares = 0, np.zeros(1)

    def add(self, k: FloatArray, y: FloatArray) -> None:
        """Take in data: kernel with the active set [row, column] and values [row, block]."""
        if self._rows is None:
            return
        self._rows.add(k, y)
        self._n_rows += len(k)
        self._squares = self._squares + (y**2).sum(axis=0)
        if self._variance:
            self._factor = triangle(self._factor, k[:, self._columns])

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
            return _nothing(len(self._k_mm), y_held, held, owner, self._variance, self._width)
        tried: dict[int, FloatArray] = {}
        reached = np.asarray(k_held.any(axis=1))
        counted = reached if reached.any() else ~reached

        def evaluate(position: int) -> FloatArray:
            tried[position] = y_held
            if self._n_rows:  # otherwise all rows were left out
                tried[position] = y_held - k_held @ rows.solve(self._scale * RELATIVE_ALPHAS[position])
            return (tried[position][counted] ** 2).mean(axis=0)

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
        spread = self._squares / (self._n_rows * self._scale)
        return GroupFit(weights, alphas, errors, residuals, held, factor, covariances, reached, spread)


def _nothing(n_columns: int, y: FloatArray, held: IntArray, owner: IntArray, variance: bool, width: int) -> GroupFit:
    """Return the fit on a kernel that is zero: it predicts zero for the rows left out, and is sure of it."""
    n_blocks = y.shape[1]
    structures, sizes = np.unique(owner, return_counts=True)
    covariances = {int(s): np.zeros((n, n)) for s, n in zip(structures, sizes.tolist(), strict=True)}
    errors = (y**2).mean(axis=0) if len(y) else np.full(n_blocks, np.nan)
    alphas = np.full(n_blocks, RELATIVE_ALPHAS[0])
    factor = np.zeros((len(variance_columns(n_columns, width)), 0)) if variance else None
    weights = np.zeros((n_columns, n_blocks))
    reached = np.ones(len(y), dtype=bool)
    spread = np.zeros(n_blocks)
    return GroupFit(weights, alphas, errors, y, held, factor, covariances if variance else {}, reached, spread)


def descend(evaluate: Callable[[int], FloatArray], n_blocks: int) -> tuple[list[int], FloatArray]:
    """Return the position of a minimum of each block's error on the alphas, and the error, trying as few as need be.

    Args:
        evaluate: returns the errors of all blocks [block] with the alpha of a position.
        n_blocks: number of blocks.

    Raises:
        SingularKernel: if a block has no finite error.
    """
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
        step = 1 if error(position + 1, block) < BETTER * error(position, block) else -1
        while error(position + step, block) < BETTER * error(position, block):
            position += step
        best.append(position)
    found = np.array([errors[p][b] for b, p in enumerate(best)])
    if not np.isfinite(found).all():
        raise SingularKernel(
            "a kernel matrix is singular to rounding; look for structures that occur twice or a rate that is too large"
        )
    return best, found


def variance_columns(n: int, width: int = 1) -> IntArray:
    """Return the columns that variances are computed from: those of evenly spaced samples of ``width`` columns each."""
    samples = n // width
    chosen = np.unique(np.linspace(0, samples - 1, min(samples, max(1, MOST_FOR_VARIANCE // width))).astype(np.int64))
    return (width * chosen[:, None] + np.arange(width)).ravel()


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


def _solved(k: FloatArray, y: FloatArray, alpha: float) -> tuple[FloatArray, FloatArray] | None:
    """Return (K + alpha)^-1 y and (K + alpha)^-1, None if it is singular to rounding.

    The weights come from the triangular factor and are refined once: those of the explicit inverse miss the data by
    more than the errors to be learned where alpha is small.
    """
    regularised = k + alpha * np.eye(len(k))
    lower = cholesky_or_none(regularised)
    if lower is None:
        return None
    weights = cho_solve((lower, True), y, check_finite=False)
    weights += cho_solve((lower, True), y - regularised @ weights, check_finite=False)
    inverse: FloatArray = lapack.dpotri(lower, lower=True, overwrite_c=True)[0]
    return weights, np.tril(inverse) + np.tril(inverse, -1).T


def _common_alpha(best: Iterable[int]) -> float:
    """Return the alpha of the variance of all blocks of a group, the middle one of theirs."""
    positions = sorted(best)
    return RELATIVE_ALPHAS[positions[len(positions) // 2]]
