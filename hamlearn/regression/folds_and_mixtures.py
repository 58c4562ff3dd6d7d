"""Hyperparameters of mixtures of kernels by cross-validation inside the training set, over cached kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import dual_annealing

from hamlearn.errors import ConfigError
from hamlearn.kernels.mixtures import check_weights, mixture_weights
from hamlearn.regression.positive import SINGULAR, finite_array, square_matrix
from hamlearn.regression.sparse_solvers import target_rows, variances
from hamlearn.types import FloatArray, IntArray

Loss = Literal["rmse", "mae"]
Bounds = Sequence[tuple[float, float]]

SINGULAR_LOSS = 1e100
"""Loss of hyperparameters for which the kernel cannot be inverted in double precision; finite for the annealer."""

PUBLISHED_BOUNDS = ((0.0, 12.0), (0.0, 100.0), (1.0, 15.0))
"""Of log10 a, b and log10 c0, for kernels as published and a regulariser of 1."""

PUBLISHED_LOG10_A = tuple(5.25 + 0.25 * i for i in range(7))
PUBLISHED_B = tuple(9.0 + i for i in range(12))


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
    k = square_matrix(k, "the kernel of the data")
    y = target_rows(y, len(k))
    regularised = k + np.diag(variances(variance, len(k)))
    residuals = _residuals(regularised, y.reshape(len(y), -1), _checked_folds(folds, len(k)))
    if residuals is None:
        raise ConfigError("the kernel of the data is singular to rounding; give a larger variance")
    return residuals.reshape(y.shape)


def cross_validate_mixture(
    kernels_by_order: ArrayLike,
    y: ArrayLike,
    mixture: Sequence[float],
    folds: Sequence[IntArray],
    variance: ArrayLike = 1.0,
    loss: Loss = "rmse",
) -> float:
    """Return the cross-validated error of k = sum_nu mixture_nu k^nu, in units of y.

    Args:
        kernels_by_order: k^nu of the data with themselves for nu = 0 ... nu_max [nu_max + 1, n, n].
        y: data [n, ...].
        mixture: weight of each order, see :func:`hamlearn.kernels.mixture_weights`.
        folds: rows of each fold, see :func:`fold_indices`.
        variance: squared tolerance of each datum [n], or one number; 1 as published, where the scale of the mixture
            decides.
        loss: root mean squared or mean absolute error.

    Returns:
        The error, or ``SINGULAR_LOSS`` if the kernel cannot be inverted.

    Raises:
        ConfigError: naming the order, if a weight is negative or not finite (the kernel need not be positive
            semi-definite); for shapes that do not fit or bad numbers.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), appendix E.
    """
    return _Objective(kernels_by_order, y, folds, variance, loss)(mixture)


@dataclass(frozen=True)
class MixtureChoice:
    """The mixture k = c0 k^0 + a sum_nu b^nu / nu! k^nu of smallest cross-validated error.

    Attributes:
        a: weight of all orders but 0.
        b: rate.
        c0: weight of order 0.
        weights: of all orders [nu_max + 1].
        loss: cross-validated error, in units of y.
        losses: of every evaluation: of a grid [a, b, c0], of the annealer in order [evaluation].
    """

    a: float
    b: float
    c0: float
    weights: FloatArray
    loss: float
    losses: FloatArray


def optimise_mixture(
    kernels_by_order: ArrayLike,
    y: ArrayLike,
    folds: Sequence[IntArray],
    variance: ArrayLike = 1.0,
    loss: Loss = "rmse",
    bounds: Bounds = PUBLISHED_BOUNDS,
    start: Sequence[float] = (1.0, 0.5, 5.0),
    max_iterations: int = 50,
    seed: int = 0,
) -> MixtureChoice:
    """Minimise :func:`cross_validate_mixture` over (log10 a, b, log10 c0) by dual annealing without local search.

    Kernels of all orders are given once; an evaluation costs one inversion. Six evaluations for every iteration.

    Args:
        kernels_by_order: [nu_max + 1, n, n].
        y: data [n, ...].
        folds: rows of each fold.
        variance: squared tolerance of each datum [n], or one number.
        loss: root mean squared or mean absolute error.
        bounds: lowest and highest log10 a, b, log10 c0.
        start: first log10 a, b, log10 c0, moved to the bounds if outside.
        max_iterations: of the annealer.
        seed: of the annealer.

    Raises:
        ConfigError: for bad bounds, if no mixture can be inverted, and as :func:`cross_validate_mixture`.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), appendix E.
    """
    limits = finite_array(bounds, "the bounds of log10 a, b, log10 c0")
    if limits.shape != (3, 2) or (limits[:, 0] >= limits[:, 1]).any() or limits[1, 0] < 0:
        raise ConfigError(
            f"the bounds of log10 a, b, log10 c0 are {limits.tolist()}; expected three pairs, lowest first, and no "
            "negative b"
        )
    objective = _Objective(kernels_by_order, y, folds, variance, loss)
    tried: list[tuple[float, FloatArray]] = []

    def evaluate(x: FloatArray) -> float:
        tried.append((objective.of_variables(x), np.array(x)))
        return tried[-1][0]

    first = np.clip(finite_array(start, "the start"), *limits.T)
    dual_annealing(evaluate, limits, x0=first, maxiter=max_iterations, no_local_search=True, seed=seed)
    best = min(tried, key=lambda pair: pair[0])
    return objective.choice(best[1], np.array([value for value, _ in tried]))


def grid_mixture(
    kernels_by_order: ArrayLike,
    y: ArrayLike,
    folds: Sequence[IntArray],
    variance: ArrayLike = 1.0,
    loss: Loss = "rmse",
    log10_a: ArrayLike = PUBLISHED_LOG10_A,
    b: ArrayLike = PUBLISHED_B,
    log10_c0: ArrayLike = (9.0,),
) -> MixtureChoice:
    """Minimise :func:`cross_validate_mixture` over a grid; by default the published one.

    Args:
        kernels_by_order: [nu_max + 1, n, n].
        y: data [n, ...].
        folds: rows of each fold.
        variance: squared tolerance of each datum [n], or one number.
        loss: root mean squared or mean absolute error.
        log10_a: values of log10 a.
        b: values of b.
        log10_c0: values of log10 c0.

    Raises:
        ConfigError: for an empty grid, if no mixture can be inverted, and as :func:`cross_validate_mixture`.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), appendix E.
    """
    named = {"log10_a": log10_a, "b": b, "log10_c0": log10_c0}
    axes = [finite_array(values, name).ravel() for name, values in named.items()]
    if not all(map(len, axes)):
        raise ConfigError("the grid is empty; give at least one value of log10_a, b and log10_c0")
    objective = _Objective(kernels_by_order, y, folds, variance, loss)
    points = np.array(list(product(*axes)))
    losses = np.array([objective.of_variables(x) for x in points])
    return objective.choice(points[losses.argmin()], losses.reshape([len(axis) for axis in axes]))


class _Objective:
    """Cross-validated error as a function of the mixture, for kernels that are checked once."""

    def __init__(
        self, kernels: ArrayLike, y: ArrayLike, folds: Sequence[IntArray], variance: ArrayLike, loss: Loss
    ) -> None:
        orders = finite_array(kernels, "the kernels by order")
        if orders.ndim != 3 or orders.shape[1] != orders.shape[2] or not orders.size:
            raise ConfigError(f"the kernels by order have shape {list(orders.shape)}; expected [nu_max + 1, n, n]")
        if loss not in get_args(Loss):
            raise ConfigError(f"unknown loss '{loss}'; expected {' or '.join(get_args(Loss))}")
        n = orders.shape[1]
        self.max_nu = len(orders) - 1
        self._orders = orders.reshape(len(orders), -1)
        self._y = target_rows(y, n).reshape(n, -1)
        self._folds = _checked_folds(folds, n)
        self._variance = variances(variance, n)
        self._loss = loss

    def __call__(self, mixture: Sequence[float] | FloatArray) -> float:
        check_weights(list(mixture))
        if len(mixture) != self.max_nu + 1:
            raise ConfigError(f"{len(mixture)} weights for kernels of {self.max_nu + 1} orders; give one for each")
        n = len(self._y)
        k = (np.asarray(mixture) @ self._orders).reshape(n, n)
        k.flat[:: n + 1] += self._variance
        residuals = _residuals(k, self._y, self._folds)
        if residuals is None:
            return SINGULAR_LOSS
        left_out = residuals[np.concatenate(self._folds)]
        return float(np.sqrt(np.mean(left_out**2)) if self._loss == "rmse" else np.abs(left_out).mean())

    def of_variables(self, x: FloatArray) -> float:
        """Return the error for (log10 a, b, log10 c0)."""
        return self(self._weights(x))

    def choice(self, x: FloatArray, losses: FloatArray) -> MixtureChoice:
        """Return what is known of the best (log10 a, b, log10 c0)."""
        if losses.min() >= SINGULAR_LOSS:
            raise ConfigError("no mixture of the kernels can be inverted; search smaller a, b and c0")
        a, b, c0 = (float(v) for v in (10 ** x[0], x[1], 10 ** x[2]))
        return MixtureChoice(a, b, c0, self._weights(x), float(losses.min()), losses)

    def _weights(self, x: FloatArray) -> FloatArray:
        return mixture_weights(10.0 ** x[0], x[1], 10.0 ** x[2], self.max_nu)


def _residuals(k: FloatArray, y: FloatArray, folds: Sequence[IntArray]) -> FloatArray | None:
    """Return C_ff^-1 (C y)_f [n, t] for C = K^-1, None if K is singular to rounding; overwrites K [n, n]."""
    diagonal = k.diagonal().copy()
    lower, failed = dpotrf(k.T, lower=1, clean=0, overwrite_a=1)  # k.T is k, in the order of LAPACK
    if failed or not (lower.diagonal() ** 2 > SINGULAR * diagonal).all():
        return None
    weights = cho_solve((lower, True), y, check_finite=False)
    inverse, failed = dpotri(lower, lower=1, overwrite_c=1)  # in the lower triangle alone
    residuals = np.zeros_like(y)
    try:
        for fold in folds:
            block = cho_factor(inverse[np.ix_(fold, fold)], lower=True, check_finite=False)
            residuals[fold] = cho_solve(block, weights[fold], check_finite=False)
    except LinAlgError:
        return None
    return residuals


def _checked_folds(folds: Sequence[ArrayLike], n: int) -> list[IntArray]:
    """Return ascending folds: their block of the inverse lies in its lower triangle."""
    sorted_folds = [np.sort(np.asarray(fold, dtype=np.int64)) for fold in folds]
    rows = np.concatenate(sorted_folds) if sorted_folds else np.zeros(0)
    if not len(rows) or rows.min() < 0 or rows.max() >= n or len(np.unique(rows)) < len(rows):
        raise ConfigError(f"folds must be disjoint sets of rows from 0 to {n - 1}, and not all empty")
    return [fold for fold in sorted_folds if len(fold)]
