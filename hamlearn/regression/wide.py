"""Ridge regression on thousands of features: few regularisations are tried, by rows or by columns, what is smaller."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf

from hamlearn.regression.alphas import choose_alphas
from hamlearn.regression.fit import Fit
from hamlearn.regression.full import RegularisedKernel
from hamlearn.regression.posterior import Posterior
from hamlearn.regression.rows import merged, regularised, squared_error
from hamlearn.regression.sparse import SparseProblem
from hamlearn.regression.spectral import RELATIVE_RANK
from hamlearn.types import FloatArray

RELATIVE_ALPHAS = tuple(10.0**k for k in range(-14, 1))
"""In units of the mean squared norm of a row."""

START = 8
"""Position of the alpha that is tried first."""

MOST_DIRECTIONS = 500
"""Directions of features that posteriors know of; what lies outside keeps its prior variance."""

SWEEPS = 2
"""Of subspace iteration, which finds the leading directions."""


class WideRidge:
    """min |A w - y|^2 + alpha |w|^2 for every target, alpha by cross-validation over folds of the parts.

    With fewer rows than features the fit is that of their kernel A A^T, where every part is left out in closed form;
    else each of ``n_folds`` folds is left out of triangular factors. Both give the same weights.

    Args:
        problem: with all rows, and K = 1; features of order 1, so that those of 1e-12 and less vanish by symmetry.
        n_folds: folds of the parts where there are more rows than features: fold k are the parts k, k + n_folds, ...

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 23-26.
    """

    def __init__(self, problem: SparseProblem, n_folds: int) -> None:
        self._r, self._n_targets, self._n_rows = problem.rank, problem.n_targets, max(problem.n_rows(), 1)
        self._factors = [part.factor for part in problem.parts]
        self._squares = np.sum([(factor**2).sum(axis=0) for factor in self._factors], axis=0)
        self._norm = float(self._squares[: self._r].sum()) / self._n_rows
        self._basis = np.zeros((self._r, 0))
        self._inside: list[FloatArray] = []
        self._vanishes = self._norm <= RELATIVE_RANK**2  # as features are of order 1
        is_dual = sum(map(len, self._factors)) <= self._r
        self._solver: _ByRows | _ByColumns = (
            _ByRows(self._factors, self._r) if is_dual else _ByColumns(self._factors, self._r, n_folds, self._n_rows)
        )

    def fit(self, error_bars: bool = False) -> Fit:
        """Return the weights, and the posterior if there are to be error bars.

        The prior variance of the weights makes the mean variance of rows left out equal to their mean squared error.
        """
        r, t = self._r, self._n_targets
        if self._vanishes:
            nothing, none = np.full(t, np.nan), np.zeros((r, 0))
            known = Posterior(none, np.zeros(0), np.ones(t), self._squares[r:] / self._n_rows)
            return Fit(np.zeros((r, t)), known, nothing, nothing.copy())
        relative, errors = [RELATIVE_ALPHAS[0]] * t, np.full(t, np.nan)
        if self._solver.can_leave_out:
            relative, errors = choose_alphas(
                lambda alpha: self._solver.errors(self._norm * alpha), t, RELATIVE_ALPHAS, START
            )
        chosen = self._norm * np.array(relative)
        weights = self._weights(chosen)
        scales, directions, squares = self._squares[r:] / self._n_rows, np.zeros((r, 0)), np.zeros(0)
        if error_bars:
            scales = self._scales(chosen, errors, weights)
            self._basis = _leading(self._factors, r)
            self._inside = [factor[:, :r] @ self._basis for factor in self._factors]
            directions, squares = _spectrum(self._inside, self._basis)
        known = Posterior(directions, squares, chosen, scales)
        return Fit(weights, known, np.array(relative), errors / self._n_rows)

    def refit(self, without: Collection[int], known: Posterior) -> tuple[FloatArray, Posterior]:
        """Return weights and posterior without some parts, with the alphas, prior variances and directions of a fit.

        Args:
            without: parts that are left out.
            known: posterior of the last fit, with error bars.
        """
        inside = [rows for k, rows in enumerate(self._inside) if k not in without]
        directions, squares = _spectrum(inside, self._basis)
        posterior = Posterior(directions, squares, known.alphas, known.scales)
        if self._vanishes or not sum(map(len, inside)):
            return np.zeros((self._r, self._n_targets)), posterior
        return self._weights(known.alphas, without), posterior

    def _weights(self, alphas: FloatArray, without: Collection[int] = ()) -> FloatArray:
        out = np.empty((self._r, self._n_targets))
        for alpha in np.unique(alphas):
            own = alphas == alpha
            out[:, own] = self._solver.weights(float(alpha), without)[:, own]
        return out

    def _scales(self, alphas: FloatArray, errors: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the prior variance of every target [target]."""
        if not self._solver.can_leave_out:  # what maximum likelihood gives without noise
            return np.asarray((weights**2).mean(axis=0))
        variances = {alpha: self._solver.variance(float(alpha)) for alpha in np.unique(alphas)}
        return errors / np.array([variances[alpha] for alpha in alphas])


class _ByRows:
    """By the kernel of the rows with themselves.

    Args:
        factors: of [A y] of every part, which are the rows as they are.
        r: columns of A.
    """

    def __init__(self, factors: Sequence[FloatArray], r: int) -> None:
        rows = np.concatenate(factors)
        self._x, self._y = rows[:, :r], rows[:, r:]
        ends = np.cumsum([0, *map(len, factors)])
        self._parts = [np.arange(a, b) for a, b in pairwise(ends)]
        self._kept = [own for own in self._parts if len(own)]
        self.can_leave_out = len(self._kept) > 1
        self._kernel = self._x @ self._x.T if self.can_leave_out else None

    def errors(self, alpha: float) -> FloatArray:
        """Return the squared error of all rows, each part left out [target]; infinite where rounding decides."""
        assert self._kernel is not None
        try:
            left_out = RegularisedKernel(self._kernel, alpha).residuals(self._y, self._kept)
        except LinAlgError:
            return np.full(self._y.shape[1], np.inf)
        return np.asarray((left_out**2).sum(axis=0))

    def variance(self, alpha: float) -> float:
        """Return the variance of all rows at a prior variance of 1, each part left out."""
        assert self._kernel is not None
        regularised_kernel = RegularisedKernel(self._kernel, alpha)
        return sum(float(np.trace(regularised_kernel.fold_covariance(part))) for part in self._kept)

    def weights(self, alpha: float, without: Collection[int] = ()) -> FloatArray:
        """Return the weights from the rows of all parts but some [column, target]."""
        own = np.concatenate([part for k, part in enumerate(self._parts) if k not in without])
        x, y = self._x[own], self._y[own]
        if self._kernel is None:  # by the smallest alpha: what no feature expresses must not be divided by it
            q, upper = np.linalg.qr(x.T)
            return q @ _solved(np.hstack([upper.T, y]), len(upper), alpha)
        return x.T @ RegularisedKernel(self._kernel[np.ix_(own, own)], alpha).weights(y)


class _ByColumns:
    """By triangular factors of the features; alphas are tried by normal equations of these, at a third of the time.

    Args:
        factors: of [A y] of every part.
        r: columns of A.
        n_folds: of the parts.
        n_rows: behind all factors.
    """

    def __init__(self, factors: Sequence[FloatArray], r: int, n_folds: int, n_rows: int) -> None:
        self._factors, self._r, self._n_rows = factors, r, n_rows
        dealt = [[f for f in factors[k::n_folds] if len(f)] for k in range(n_folds)]
        self._folds = [merged(own) for own in dealt if own]
        self.can_leave_out = len(self._folds) > 1
        self._squares = [fold.T @ fold for fold in self._folds] if self.can_leave_out else []

    def errors(self, alpha: float) -> FloatArray:
        """Return the squared error of all rows, each fold left out [target]; infinite where rounding decides."""
        total = np.zeros(self._folds[0].shape[1] - self._r)
        for fold, (lower, projected) in zip(self._folds, self._rest(alpha), strict=True):
            if lower is None:
                return np.full_like(total, np.inf)
            total += squared_error(fold, cho_solve((lower, True), projected, check_finite=False))
        return total

    def variance(self, alpha: float) -> float:
        """Return the variance of all rows at a prior variance of 1, each fold left out, with their own noise."""
        total = alpha * self._n_rows
        for fold, (lower, _) in zip(self._folds, self._rest(alpha), strict=True):
            assert lower is not None
            total += alpha * float((solve_triangular(lower, fold[:, : self._r].T, lower=True) ** 2).sum())
        return total

    def weights(self, alpha: float, without: Collection[int] = ()) -> FloatArray:
        """Return the weights from the rows of all parts but some [column, target]."""
        kept = [f for k, f in enumerate(self._factors) if k not in without and len(f)]
        return _solved(merged(kept) if without else self._everything, self._r, alpha)

    @cached_property
    def _everything(self) -> FloatArray:
        """The factor of all rows."""
        return merged(self._folds)

    def _rest(self, alpha: float) -> Iterator[tuple[FloatArray | None, FloatArray]]:
        """Yield L, L L^T = A^T A + alpha of all rows but those of a fold, None where singular, and A^T y."""
        r, everything = self._r, sum(self._squares)
        for own in self._squares:
            others = everything - own
            system = np.array(others[:r, :r], order="F")
            system.flat[:: r + 1] += alpha
            lower, failed = dpotrf(system, lower=1, overwrite_a=1)
            yield None if failed else lower, others[:r, r:]


def _solved(factor: FloatArray, r: int, alpha: float) -> FloatArray:
    """Return the weights [r, target] from the factor of [A y]."""
    upper = regularised(factor, np.sqrt(alpha) * np.eye(r))
    return np.asarray(solve_triangular(upper[:r, :r], upper[:r, r:], check_finite=False))


def _leading(factors: Sequence[FloatArray], r: int) -> FloatArray:
    """Return an orthonormal basis of the leading directions of the features of all rows [r, direction]."""
    rows = np.concatenate([factor[:, :r] for factor in factors])
    if len(rows) <= MOST_DIRECTIONS:
        return np.asarray(np.linalg.qr(rows.T)[0])
    if r <= MOST_DIRECTIONS:
        return np.eye(r)
    basis = np.random.default_rng(0).normal(size=(r, MOST_DIRECTIONS))
    for _ in range(SWEEPS):
        basis = np.linalg.qr(rows.T @ (rows @ basis))[0]
    return np.asarray(basis)


def _spectrum(inside: Sequence[FloatArray], basis: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the directions of some rows within a basis [column, direction], and their squares [direction].

    Args:
        inside: the rows in the basis, of every part.
        basis: orthonormal [column, direction].
    """
    if not basis.shape[1] or not sum(map(len, inside)):
        return basis, np.zeros(basis.shape[1])
    _, s, vt = np.linalg.svd(np.linalg.qr(np.concatenate(inside), mode="r"), full_matrices=False)
    return basis @ vt.T, s**2
