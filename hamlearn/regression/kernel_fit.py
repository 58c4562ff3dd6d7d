"""Kernel regression of targets that share one kernel: regularisation, weights and what error bars need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError

from hamlearn.regression.alphas import descend, middle
from hamlearn.regression.full import RegularisedKernel
from hamlearn.regression.positive import eigen_root
from hamlearn.regression.posterior import factor_by_root, variance_columns, variance_factor, variance_root
from hamlearn.regression.sparse import Solver, SparseProblem
from hamlearn.types import BoolArray, FloatArray, IntArray

RELATIVE_ALPHAS = tuple(10.0**-k for k in range(11, -2, -1))
"""1e-11 to 10, in units of the mean diagonal of the kernel; the largest ones where levels jump between molecules."""

FIRST_TRIED = 6
"""Where the descent on the alphas begins: 1e-5."""

VANISHING = 1e-13
"""Diagonal of a kernel, as a fraction of the largest one its settings allow, that is zero by symmetry but for rounding,
or because the pair is beyond the cut-off."""


@dataclass(frozen=True)
class KernelFit:
    """Weights of targets that share a kernel, and what is known of their errors.

    Attributes:
        weights: x in h = K x [row of the basis, target].
        alphas: relative regularisation of every target [target].
        cv_mse: mean squared error of the rows that were left out [target]; nan if none were.
        residuals: data minus prediction of rows left out [row, target], rows as in ``held``.
        held: which rows were left out, ascending.
        variance: F with Var = k(*, *) - (k F)(k F)^T, of all data [column, r]; None if not asked for.
        held_covariances: of the rows of every structure left out, for a prior variance of 1, by structure.
        reached: which rows left out have a kernel that is not zero; the others say nothing of the errors of these.
        spread: mean square of the data in units of the kernel, the prior variance where no row left out tells [target].
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
        """Prior variance of every target: squared errors of rows left out are as large as predicted; 0 without any."""
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
) -> KernelFit:
    """Fit x = (K + alpha)^-1 y, alpha of every target by cross-validation in closed form.

    Args:
        k: kernel of all rows [row, row].
        y: data [row, target].
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
    held = np.sort(np.concatenate(list(folds)))
    reached = np.diagonal(k)[held] > VANISHING * unit
    tried: dict[int, tuple[FloatArray, FloatArray]] = {}

    def evaluate(position: int) -> FloatArray:
        try:
            kernel = RegularisedKernel(k, scale * RELATIVE_ALPHAS[position])
            tried[position] = kernel.weights(y), kernel.residuals(y, folds)[held]
        except LinAlgError:
            return np.full(y.shape[1], np.inf)
        return (tried[position][1][reached] ** 2).mean(axis=0)

    best, errors = descend(evaluate, y.shape[1], len(RELATIVE_ALPHAS), FIRST_TRIED)
    weights, residuals = (np.stack([tried[p][n][:, b] for b, p in enumerate(best)], axis=1) for n in (0, 1))
    factor, covariances = None, {}
    if variance:
        alpha, columns = scale * middle(best, RELATIVE_ALPHAS), variance_columns(len(k), width)
        factor = variance_factor(k[np.ix_(columns, columns)], k[:, columns], alpha)
        covariances = _held_covariances(k, folds, owner, alpha, columns)
    alphas = np.array([RELATIVE_ALPHAS[p] for p in best])
    spread = (y**2).mean(axis=0) / scale
    return KernelFit(weights, alphas, errors, residuals, held, factor, covariances, reached, spread)


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


class ActiveFit:
    """Kernel regression on an active set, fed tile by tile; one part of the data is left out to choose alpha.

    Args:
        k_mm: kernel of the active set with itself [column, column].
        n_targets: number of targets.
        variance: also find what error bars need.
        unit: largest diagonal that the settings of the kernel allow.
        width: columns of a sample, 2L+1.
        solver: see :class:`hamlearn.regression.sparse.SparseProblem`.
    """

    def __init__(
        self,
        k_mm: FloatArray,
        n_targets: int,
        variance: bool = False,
        unit: float = 1.0,
        width: int = 1,
        solver: Solver = "qr",
    ) -> None:
        self._k_mm, self._variance, self._width = k_mm, variance, width
        self._columns = variance_columns(len(k_mm), width)
        self._scale = float(np.trace(k_mm)) / len(k_mm)
        reaches = self._scale > VANISHING * unit
        self._problem = SparseProblem(k_mm, n_targets, solver=solver) if reaches else None
        self._squares = np.zeros(n_targets)

    def add(self, k: FloatArray, y: FloatArray) -> None:
        """Take in data: kernel with the active set [row, column] and values [row, target]."""
        if self._problem is not None:
            self._problem.add(k, y)
            self._squares = self._squares + (y**2).sum(axis=0)

    def fit(
        self, k_held: FloatArray, y_held: FloatArray, held: IntArray, owner: IntArray, priors: Mapping[int, FloatArray]
    ) -> KernelFit:
        """Choose alpha on the data left out so far, then take them in as well.

        Args:
            k_held: kernel of the rows left out with the active set [row, column].
            y_held: their values [row, target].
            held: which rows they are.
            owner: structure of each.
            priors: kernel of the rows of every structure left out with themselves, where variances are asked for.
        """
        problem = self._problem
        if problem is None:
            return _nothing(len(self._k_mm), y_held, held, owner, self._variance, self._width)
        tried: dict[int, FloatArray] = {}
        reached = np.asarray(k_held.any(axis=1))
        counted = reached if reached.any() else ~reached

        def evaluate(position: int) -> FloatArray:
            tried[position] = y_held - k_held @ problem.weights(self._scale * RELATIVE_ALPHAS[position])
            return (tried[position][counted] ** 2).mean(axis=0)

        best, errors = descend(evaluate, y_held.shape[1], len(RELATIVE_ALPHAS), FIRST_TRIED)
        residuals = np.stack([tried[p][:, b] for b, p in enumerate(best)], axis=1)
        alpha = self._scale * middle(best, RELATIVE_ALPHAS)
        covariances = self._held_covariances(k_held, owner, alpha, priors) if self._variance else {}
        self.add(k_held, y_held)
        final = {p: problem.weights(self._scale * RELATIVE_ALPHAS[p]) for p in set(best)}
        weights = np.stack([final[p][:, b] for b, p in enumerate(best)], axis=1)
        factor = self._variance_factor(alpha) if self._variance else None
        alphas = np.array([RELATIVE_ALPHAS[p] for p in best])
        spread = self._squares / (problem.n_rows() * self._scale)
        return KernelFit(weights, alphas, errors, residuals, held, factor, covariances, reached, spread)

    def _held_covariances(
        self, k_held: FloatArray, owner: IntArray, alpha: float, priors: Mapping[int, FloatArray]
    ) -> dict[int, FloatArray]:
        """Return the covariance of the rows of every structure left out given the others."""
        reduced = k_held[:, self._columns] @ self._variance_factor(alpha)
        parts = {int(s): reduced[owner == s] for s in np.unique(owner)}
        return {s: priors[s] - part @ part.T for s, part in parts.items()}

    def _variance_factor(self, alpha: float) -> FloatArray:
        """Return the factor of the variance, from all rows there are."""
        assert self._problem is not None
        factor, root = self._problem.factor()[:, : self._problem.rank], self._problem.root
        columns = self._k_mm[:, self._columns]
        rows = factor[:, self._columns] if root is None else factor @ (root.T @ columns)
        return factor_by_root(self._variance_root, rows, alpha)

    @cached_property
    def _variance_root(self) -> FloatArray:
        return variance_root(self._k_mm[np.ix_(self._columns, self._columns)])


def _nothing(n_columns: int, y: FloatArray, held: IntArray, owner: IntArray, variance: bool, width: int) -> KernelFit:
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
    return KernelFit(weights, alphas, errors, y, held, factor, covariances if variance else {}, reached, spread)
