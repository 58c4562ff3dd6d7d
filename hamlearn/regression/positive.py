"""Positive semi-definite matrices: what a kernel must be, and how it is inverted when it is singular."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh, solve_triangular

from hamlearn.errors import ConfigError
from hamlearn.types import FloatArray

NEGATIVE = 1e-10
"""An eigenvalue below minus this fraction of the largest is no rounding error."""

SINGULAR = 10 * float(np.finfo(np.float64).eps)
"""A pivot below this fraction of its diagonal element, or eigenvalue below it of the largest, is a rounding error."""


def check_positive(k: ArrayLike, name: str, tolerance: float = NEGATIVE) -> None:
    """Refuse a kernel that is not positive semi-definite: v^T K v >= 0 for all v.

    Args:
        k: kernel of points with themselves [n, n].
        name: what to call it.
        tolerance: negative eigenvalues are rounding errors up to this fraction of the largest one.

    Raises:
        ConfigError: if it is not square, finite and symmetric, or naming its lowest eigenvalue.
    """
    values = eigvalsh(square_matrix(k, name), check_finite=False)
    _check_lowest(values, name, tolerance)


def finite_array(value: ArrayLike, name: str) -> FloatArray:
    """Return an array as float64.

    Raises:
        ConfigError: if a number is NaN or infinite, with the place of the first one.
    """
    array = np.asarray(value, dtype=np.float64)
    if not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        raise ConfigError(
            f"{name} holds {len(bad)} numbers that are NaN or infinite, the first at {bad[0].tolist()}; expected "
            "finite numbers, so look for missing data or overlapping atoms there"
        )
    return array


def matrix(value: ArrayLike, name: str, n_rows: int | None = None, n_columns: int | None = None) -> FloatArray:
    """Return a finite matrix of the expected shape, float64.

    Raises:
        ConfigError: if it is no matrix, of another shape, or not finite.
    """
    array = finite_array(value, name)
    expected = ["any" if n is None else str(n) for n in (n_rows, n_columns)]
    fits = array.ndim == 2 and n_rows in (None, array.shape[0]) and n_columns in (None, array.shape[1])
    if not fits:
        raise ConfigError(f"{name} has shape {list(array.shape)}; expected a matrix [{', '.join(expected)}]")
    return array


def square_matrix(value: ArrayLike, name: str, n: int | None = None) -> FloatArray:
    """Return a finite symmetric matrix, float64.

    Raises:
        ConfigError: if it is not square, not symmetric, or not finite.
    """
    array = matrix(value, name, n, n)
    if array.shape[0] != array.shape[1] or not array.size:
        raise ConfigError(f"{name} has shape {list(array.shape)}; expected a square matrix of points with themselves")
    difference, scale = np.abs(array - array.T).max(initial=0.0), np.abs(array).max(initial=0.0)
    if difference > 1e-8 * scale:
        raise ConfigError(
            f"{name} differs from its transpose by {difference:.1e}; expected a symmetric kernel, made with the same "
            "points in rows and columns"
        )
    return array


def eigen_root(k: FloatArray, tolerance: float, name: str) -> FloatArray:
    """Return P = U v^-1/2 [n, r] of K = U v U^T, of eigenvalues above a fraction of the largest: P^T K P = 1.

    Args:
        k: positive semi-definite [n, n].
        tolerance: the fraction.
        name: what to call the matrix.

    Raises:
        ConfigError: if an eigenvalue is negative beyond rounding.
    """
    values, vectors = eigh(k, check_finite=False)
    _check_lowest(values, name)
    kept = values > max(tolerance, SINGULAR) * max(values[-1], 0.0)  # none of an all-zero kernel
    return vectors[:, kept] / np.sqrt(values[kept])


@dataclass(frozen=True)
class PositiveFactor:
    """A factorised positive semi-definite matrix A, with its pseudo-inverse where it is singular.

    Attributes:
        factor: lower L of A = L L^T [n, n]; of a singular A, W of A^-1 = W W^T [n, r].
        singular: which of the two.
    """

    factor: FloatArray
    singular: bool = False

    @classmethod
    def of(cls, a: FloatArray, name: str) -> PositiveFactor:
        """Factorise A [n, n] by Cholesky, or by its eigenvectors above rounding if it is singular.

        Raises:
            ConfigError: if an eigenvalue is negative beyond rounding.
        """
        lower = cholesky_or_none(a)
        if lower is not None:
            return cls(lower)
        return cls(eigen_root(a, len(a) * float(np.finfo(np.float64).eps), name), singular=True)

    def whiten(self, b: FloatArray) -> FloatArray:
        """Return X [r, t] with X^T X = B^T A^-1 B."""
        return self.factor.T @ b if self.singular else solve_triangular(self.factor, b, lower=True, check_finite=False)

    def solve(self, b: FloatArray) -> FloatArray:
        """Return A^-1 B [n, t]."""
        if self.singular:
            return self.factor @ self.whiten(b)
        return solve_triangular(self.factor, self.whiten(b), lower=True, trans="T", check_finite=False)


def cholesky_or_none(a: FloatArray) -> FloatArray | None:
    """Return lower L of A = L L^T, or None if a row depends on those before it but for rounding."""
    try:
        lower: FloatArray = cholesky(a, lower=True, check_finite=False)
    except LinAlgError:
        return None
    return lower if (np.diagonal(lower) ** 2 > SINGULAR * np.diagonal(a)).all() else None


def _check_lowest(values: FloatArray, name: str, tolerance: float = NEGATIVE) -> None:
    if values[0] < -tolerance * np.abs(values).max():
        raise ConfigError(
            f"{name} is not positive semi-definite: its lowest eigenvalue is {values[0]:.3e}, its largest "
            f"{values[-1]:.3e}; use a kernel that is a scalar product of features, or a larger variance of the data"
        )
