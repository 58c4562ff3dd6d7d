"""Kernel regression with the data themselves as basis: weights, and what every fold says of itself from the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf, dtrtri

from hamlearn.regression.positive import SINGULAR, eigen_root
from hamlearn.types import BoolArray, FloatArray, IntArray

SMALLEST = 1e-11
"""Eigenvalues of a kernel below this fraction of the largest count as zero where there is no regularisation."""


class RegularisedKernel:
    """K + Lambda = L L^T, the covariance of data, and its inverse C = L^-T L^-1.

    Args:
        k: kernel of the data with themselves [n, n], symmetric; left as it is.
        variance: diagonal of Lambda [n], or one number.

    Raises:
        LinAlgError: if K + Lambda is singular to rounding.

    Turning the rows of samples together with their data turns weights and residuals.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 2.25, 2.26 and section 5.4.2.
    """

    def __init__(self, k: FloatArray, variance: FloatArray | float) -> None:
        self._k, self._variance = k, variance
        regularised = np.array(k.T, order="F")  # k is symmetric, and LAPACK wants columns
        regularised.T.flat[:: len(k) + 1] += variance
        diagonal = regularised.diagonal().copy()
        self._lower, failed = dpotrf(regularised, lower=1, overwrite_a=1)
        if failed or not (self._lower.diagonal() ** 2 > SINGULAR * diagonal).all():
            raise LinAlgError("the kernel of the data is singular to rounding; give a larger variance")

    def weights(self, y: FloatArray) -> FloatArray:
        """Return C y [n, t], refined once: those of the explicit inverse miss the data by more than what is learned."""
        solution = cho_solve((self._lower, True), y, check_finite=False)
        missed = y - self._k @ solution - np.reshape(self._variance, (-1, 1)) * solution
        return solution + cho_solve((self._lower, True), missed, check_finite=False)

    def residuals(self, y: FloatArray, folds: Sequence[IntArray]) -> FloatArray:
        """Return y_f - K_fr (K_rr + Lambda_rr)^-1 y_r = C_ff^-1 (C y)_f [n, t] of every fold f from the rest r.

        One factorisation serves all folds; rows in no fold are always trained on, their residual is zero.

        Args:
            y: data [n, t].
            folds: rows of each fold, disjoint.

        Raises:
            LinAlgError: if what the rest leaves of a fold is singular to rounding.
        """
        whitened = solve_triangular(self._lower, y, lower=True, check_finite=False)
        out = np.zeros_like(y)
        for fold in folds:
            own = self._inverse_lower[:, fold].T
            out[fold] = cho_solve(_inverse_block(own), own @ whitened, check_finite=False)
        return out

    def fold_covariance(self, fold: IntArray) -> FloatArray:
        """Return the covariance of the data of a fold given the rest, C_ff^-1 [row, row], its noise included."""
        return cho_solve(_inverse_block(self._inverse_lower[:, fold].T), np.eye(len(fold)), check_finite=False)

    def inverse_root(self) -> FloatArray:
        """Return W with W W^T = C [n, n]."""
        return np.ascontiguousarray(self._inverse_lower.T)

    @cached_property
    def _inverse_lower(self) -> FloatArray:
        """L^-1."""
        return np.asarray(dtrtri(self._lower, lower=1)[0])


def _inverse_block(own: FloatArray) -> tuple[FloatArray, bool]:
    """Return the Cholesky factor of C_ff from the columns f of L^-1 as rows."""
    return cho_factor(own @ own.T, lower=True, check_finite=False)


class FullProblem:
    """(K + alpha) x = y with the data themselves as basis, every fold left out in closed form.

    Args:
        gram: K, kernel of all rows [row, row].
        y: data [row, target].
        folds: rows left out together, disjoint: all of them, or none.
    """

    def __init__(self, gram: FloatArray, y: FloatArray, folds: Sequence[IntArray]) -> None:
        self.gram, self._y, self._folds = gram, y, folds
        self._weights: dict[float, FloatArray] = {}

    def reached(self, smallest: float) -> BoolArray:
        """Return which rows have a kernel that does not vanish [row]."""
        return self.gram.diagonal() > smallest

    def left_out(self, alpha: float) -> FloatArray:
        """Return data minus predictions of every fold by the others [row, target]; LinAlgError if K is singular."""
        kernel = RegularisedKernel(self.gram, alpha)
        self._weights[alpha] = kernel.weights(self._y)
        return kernel.residuals(self._y, self._folds)

    def weights(self, alpha: float) -> FloatArray:
        """Return x [row, target] for an alpha that :meth:`left_out` had, or K^+ y for alpha = 0."""
        if alpha == 0:
            root = eigen_root(self.gram, SMALLEST, "the kernel of the training structure")
            return root @ (root.T @ self._y)
        return self._weights[alpha]

    def take_in_kept(self) -> None:
        """Do nothing: all rows are in the basis."""

    def rows(self, columns: IntArray) -> FloatArray:
        """Return R with R^T R = K_SN K_NS, of all data and some columns S [k, column]."""
        return self.gram[:, columns]

    def rows_apart(self, columns: IntArray) -> Iterator[tuple[IntArray, IntArray, FloatArray, FloatArray]]:
        """Yield the rows of every fold, the columns S not among them, k(*, S) of these rows, and R of all others."""
        for fold in self._folds:
            rest, own = np.setdiff1d(np.arange(len(self.gram)), fold), np.setdiff1d(columns, fold)
            yield fold, own, self.gram[np.ix_(fold, own)], self.gram[np.ix_(rest, own)]
