"""Positive semi-definite matrices: how they are inverted, also where they are singular."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, eigh

from hamlearn.errors import ConfigError
from hamlearn.types import FloatArray

NEGATIVE = 1e-10
"""An eigenvalue below minus this fraction of the largest is no rounding error."""

RELATIVE_EIGENVALUE = 1e-12
"""Directions of an active set whose eigenvalue lies below this fraction of the largest are rounding noise."""

EPS = float(np.finfo(np.float64).eps)
SINGULAR = 10 * EPS
"""A pivot below this fraction of its diagonal element, or eigenvalue below it of the largest, is a rounding error."""


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
    if values[0] < -NEGATIVE * np.abs(values).max():
        raise ConfigError(
            f"{name} is not positive semi-definite: its lowest eigenvalue is {values[0]:.3e}, its largest "
            f"{values[-1]:.3e}; use a kernel that is a scalar product of features, or a larger variance of the data"
        )
    kept = values > max(tolerance, SINGULAR) * max(values[-1], 0.0)  # none of an all-zero kernel
    return vectors[:, kept] / np.sqrt(values[kept])


def active_root(k: FloatArray) -> FloatArray:
    """Return P [column, r] with P^T K P = 1 for the kernel of an active set, without directions that are rounding."""
    return eigen_root(k, RELATIVE_EIGENVALUE, "the kernel of the active set")


def solve_positive(a: FloatArray, b: FloatArray, name: str) -> FloatArray:
    """Return A^-1 B [n, t] by Cholesky, or A^+ B by the eigenvectors above rounding of a singular A [n, n].

    Raises:
        ConfigError: if an eigenvalue is negative beyond rounding.
    """
    lower = cholesky_or_none(a)
    if lower is not None:
        return cho_solve((lower, True), b, check_finite=False)
    root = eigen_root(a, len(a) * EPS, name)
    return root @ (root.T @ b)


def cholesky_or_none(a: FloatArray) -> FloatArray | None:
    """Return lower L of A = L L^T, or None if a row depends on those before it but for rounding."""
    try:
        lower: FloatArray = cholesky(a, lower=True, check_finite=False)
    except LinAlgError:
        return None
    return lower if (np.diagonal(lower) ** 2 > SINGULAR * np.diagonal(a)).all() else None
