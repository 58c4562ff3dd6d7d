"""Least squares in bounded memory: triangular factors of rows [A y], one tile at a time.

A factor F with F^T F = [A y]^T [A y] holds all that regression needs, |A w - y|^2 = |F [w; -1]|^2, without squaring the
condition number as A^T A would.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.linalg import lapack

from hamlearn.types import FloatArray

BLOCK = 64
"""Columns that LAPACK reduces at once."""


class RowFactor:
    """F [k <= n, n] with F^T F = sum of A^T A over all rows A [rows, n] that were added, in any order and tiles.

    Args:
        n_columns: n.
    """

    def __init__(self, n_columns: int) -> None:
        self._factor = np.zeros((0, n_columns))
        self._pending: list[FloatArray] = []
        self.n_rows = 0

    def add(self, rows: FloatArray) -> None:
        """Take in rows; they are kept until there are a quarter as many as columns, which spares reductions."""
        self._pending.append(rows)
        self.n_rows += len(rows)
        if 4 * sum(map(len, self._pending)) >= self._factor.shape[1]:
            self._reduce()

    @property
    def factor(self) -> FloatArray:
        """The factor, an upper triangle once there were as many rows as columns."""
        self._reduce()
        return self._factor

    def _reduce(self) -> None:
        if self._pending:
            self._factor = _reduced(self._factor, np.concatenate(self._pending))
            self._pending = []


def merged(factors: Iterable[FloatArray]) -> FloatArray:
    """Return one factor for the rows behind all of them.

    Args:
        factors: of :class:`RowFactor` [k, n]; those of n rows are upper triangles.
    """
    first, *others = factors
    for factor in others:
        big, small = (first, factor) if len(first) >= len(factor) else (factor, first)
        first = triangle(big, small, True) if len(small) == small.shape[1] else _reduced(big, small)
    return first


def triangle(upper: FloatArray, rows: FloatArray, is_upper: bool = False) -> FloatArray:
    """Return an upper triangle R with R^T R = U^T U + A^T A.

    Args:
        upper: U, an upper triangle [n, n].
        rows: A [rows, n].
        is_upper: A is an upper triangle as well, at most [n, n], which takes an eighth of the time.
    """
    if not len(rows):
        return upper
    a, b = (np.array(x, order="F") for x in (upper, rows))
    n_upper = len(rows) if is_upper else 0
    out: FloatArray = lapack.dtpqrt(n_upper, min(BLOCK, len(a)), a, b, overwrite_a=True, overwrite_b=True)[0]
    return out


def regularised(factor: FloatArray, root: FloatArray) -> FloatArray:
    """Return an upper triangle R [n, n] with R^T R = F^T F + [S 0]^T [S 0]: the factor of rows and a regulariser.

    Args:
        factor: F [k, n]; one of n rows is an upper triangle.
        root: S [r, r], an upper triangle, r <= n.
    """
    r, n = len(root), factor.shape[1]
    full = factor if len(factor) == n else triangle(np.zeros((n, n)), factor)
    return triangle(full, np.hstack([root, np.zeros((r, n - r))]), is_upper=True)


def in_other_basis(factor: FloatArray, basis: FloatArray) -> FloatArray:
    """Return the factor of [A V, y] from that of [A, y].

    Args:
        factor: [k, q + t].
        basis: V [q, r].
    """
    q = len(basis)
    rows = np.hstack([factor[:, :q] @ basis, factor[:, q:]])
    return _reduced(rows[:0], rows)


def squared_error(factor: FloatArray, weights: FloatArray) -> FloatArray:
    """Return |A w - y|^2 of every column for many weight matrices [..., t].

    Args:
        factor: of [A y] [k, q + t].
        weights: [..., q, t].
    """
    q, t = weights.shape[-2:]
    every = np.moveaxis(weights, -2, 0).reshape(q, -1)  # one product instead of many narrow ones
    missed = (factor[:, :q] @ every).reshape(len(factor), -1, t) - factor[:, None, q:]
    return np.asarray((missed**2).sum(axis=0)).reshape(*weights.shape[:-2], t)


def _reduced(factor: FloatArray, rows: FloatArray) -> FloatArray:
    """Return a factor of those of both: rows as they are while there are fewer than columns, else a triangle."""
    n = factor.shape[1]
    if len(factor) == n:
        return triangle(factor, rows)
    stacked = np.concatenate([factor, rows])
    if len(stacked) < n:
        return stacked
    reflected = lapack.dgeqrf(np.asfortranarray(stacked), lwork=BLOCK * n, overwrite_a=True)[0]
    return np.triu(reflected[:n])
