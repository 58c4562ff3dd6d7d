"""Kernel regression with the data themselves as basis: weights, and what every fold says of itself from the others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf, dtrtri

from hamlearn.regression.positive import SINGULAR
from hamlearn.types import FloatArray, IntArray


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
