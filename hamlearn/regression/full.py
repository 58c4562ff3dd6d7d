"""Kernel regression with the data themselves as basis: weights, and what every fold says of itself from the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.blas import dsymm, dtrmm
from scipy.linalg.lapack import dpotrf, dtrtri, dtrtrs

from hamlearn.regression.positive import SINGULAR, eigen_root
from hamlearn.regression.posterior import MOST_FOR_VARIANCE
from hamlearn.types import BoolArray, FloatArray, IntArray

SMALLEST = 1e-11
"""Eigenvalues of a kernel below this fraction of the largest count as zero where there is no regularisation."""

TOGETHER, MIRRORED = 1024, 256
"""Rows that are taken from an inverse, and mirrored, at once."""


def full_gigabytes(n_rows: int, n_fold: int, error_bars: bool = False) -> float:
    """Return the memory of a fit with all rows as basis: the kernel, where factors are as well, and blocks of a fold.

    Args:
        n_rows: of the kernel.
        n_fold: of the largest fold.
        error_bars: kernels with the columns that variances are computed from are held afterwards.
    """
    columns = min(n_rows, MOST_FOR_VARIANCE) if error_bars else 0
    blocks = 3 * n_fold**2 + 2 * min(TOGETHER, n_rows) * n_fold
    return 8e-9 * (n_rows**2 + max(blocks, columns * (2 * n_rows + 6 * columns)))


class RegularisedKernel:
    """K + Lambda = L L^T, the covariance of data, and its inverse C = L^-T L^-1.

    L, and L^-1 as soon as folds are asked for, lie in one array with K: its other triangle.

    Args:
        k: kernel of the data with themselves [n, n], symmetric; left as it is.
        variance: diagonal of Lambda [n], or one number.
        overwrite: do it in ``k``, C-contiguous, itself; see :func:`regularised_in_place`.

    Raises:
        LinAlgError: if K + Lambda is singular to rounding.

    Turning the rows of samples together with their data turns weights and residuals.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 2.25, 2.26 and section 5.4.2.
    """

    def __init__(self, k: FloatArray, variance: FloatArray | float, overwrite: bool = False) -> None:
        self._array = k.T if overwrite else np.array(k.T, order="F")  # k is symmetric, and LAPACK wants columns
        self._diagonal, self._variance, self._is_inverse = k.diagonal().copy(), variance, False
        np.fill_diagonal(self._array, diagonal := self._diagonal + variance)
        _, failed = dpotrf(self._array, lower=1, clean=0, overwrite_a=1)
        if failed or not (self._array.diagonal() ** 2 > SINGULAR * diagonal).all():
            raise LinAlgError("the kernel of the data is singular to rounding; give a larger variance")

    def weights(self, y: FloatArray) -> FloatArray:
        """Return C y [n, t], refined once: those of the explicit inverse miss the data by more than what is learned."""
        solution = self._lower(self._lower(y), transposed=True)
        missed = y - self._times(solution) - np.reshape(self._variance, (-1, 1)) * solution
        return solution + self._lower(self._lower(missed), transposed=True)

    def residuals(self, y: FloatArray, folds: Sequence[IntArray]) -> FloatArray:
        """Return y_f - K_fr (K_rr + Lambda_rr)^-1 y_r = C_ff^-1 (C y)_f [n, t] of every fold f from the rest r.

        One factorisation serves all folds; rows in no fold are always trained on, their residual is zero.

        Args:
            y: data [n, t].
            folds: rows of each fold, disjoint.

        Raises:
            LinAlgError: if what the rest leaves of a fold is singular to rounding.
        """
        whitened = self._lower(y)
        out = np.zeros_like(y)
        for fold in folds:
            factor, own = self._of_fold(fold, whitened)
            out[np.sort(fold)] = cho_solve(factor, own, check_finite=False)
        return out

    def fold_covariance(self, fold: IntArray) -> FloatArray:
        """Return the covariance of the data of a fold given the rest, C_ff^-1 [row, row], its noise included."""
        nothing = np.zeros((len(self._array), 0))
        ascending = cho_solve(self._of_fold(fold, nothing)[0], np.eye(len(fold)), check_finite=False)
        place = np.argsort(np.argsort(fold))
        return ascending[np.ix_(place, place)]

    def inverse_root(self) -> FloatArray:
        """Return W with W W^T = C [n, n]."""
        return np.triu(self._inverse().T)

    def _lower(self, x: FloatArray, transposed: bool = False) -> FloatArray:
        """Return L^-1 x or L^-T x [n, t]."""
        if self._is_inverse:
            return np.asarray(dtrmm(1.0, self._array, x, lower=1, trans_a=transposed))
        return np.asarray(dtrtrs(self._array, x, lower=1, trans=transposed)[0])

    def _times(self, x: FloatArray) -> FloatArray:
        """Return K x [n, t]."""
        own = self._array.diagonal().copy()
        np.fill_diagonal(self._array, self._diagonal)
        out = dsymm(1.0, self._array, x, lower=0)
        np.fill_diagonal(self._array, own)
        return np.asarray(out)

    def _inverse(self) -> FloatArray:
        """Return L^-1, below K."""
        if not self._is_inverse:
            dtrtri(self._array, lower=1, overwrite_c=1)
            self._is_inverse = True
        return self._array

    def _of_fold(self, fold: IntArray, whitened: FloatArray) -> tuple[tuple[FloatArray, bool], FloatArray]:
        """Return the Cholesky factor of C_ff = W_f W_f^T and W_f L^-1 y, W_f columns of L^-1, rows f ascending."""
        inverse, columns = self._inverse(), np.sort(fold)
        block, out = np.zeros((len(fold), len(fold))), np.zeros((len(fold), whitened.shape[1]))
        for start in range(0, len(inverse), TOGETHER):
            rows = np.arange(start, min(start + TOGETHER, len(inverse)))
            n, n_full = np.searchsorted(columns, [rows[-1] + 1, start])  # columns behind are zero here
            part = inverse[rows[0] : rows[-1] + 1, columns[:n]]
            part[:, n_full:][rows[:, None] < columns[n_full:n]] = 0.0
            block[:n, :n] += part.T @ part
            out[:n] += part.T @ whitened[rows]
        return cho_factor(block, lower=True, overwrite_a=True, check_finite=False), out


@contextmanager
def regularised_in_place(k: FloatArray, variance: FloatArray | float) -> Iterator[RegularisedKernel]:
    """Give K + Lambda in the memory of K [n, n], C-contiguous, which is K again afterwards; errors as of the class."""
    diagonal = k.diagonal().copy()
    try:
        yield RegularisedKernel(k, variance, overwrite=True)
    finally:
        mirror(k)
        np.fill_diagonal(k, diagonal)


def mirror(k: FloatArray) -> None:
    """Make a matrix [n, n] symmetric: what is above the diagonal becomes what is below it."""
    for start in range(0, len(k), MIRRORED):
        stop = min(start + MIRRORED, len(k))
        own = np.tril(k[start:stop, start:stop], -1)
        k[start:stop, stop:] = k[stop:, start:stop].T
        k[start:stop, start:stop] = own + own.T + np.diag(k[start:stop, start:stop].diagonal())


class FullProblem:
    """(K + alpha) x = y with the data themselves as basis, every fold left out in closed form.

    Args:
        gram: K, kernel of all rows [row, row]; its memory holds factors for a while.
        y: data [row, target].
        folds: rows left out together, disjoint: all of them, or none.
    """

    def __init__(self, gram: FloatArray, y: FloatArray, folds: Sequence[IntArray]) -> None:
        self.gram, self._y, self._folds = np.ascontiguousarray(gram), y, folds
        self._weights: dict[float, FloatArray] = {}

    def reached(self, smallest: float) -> BoolArray:
        """Return which rows have a kernel that does not vanish [row]."""
        return self.gram.diagonal() > smallest

    def left_out(self, alpha: float) -> FloatArray:
        """Return data minus predictions of every fold by the others [row, target]; LinAlgError if K is singular."""
        with regularised_in_place(self.gram, alpha) as kernel:
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
