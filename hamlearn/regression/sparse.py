"""Regression in a fixed basis, features or kernels with an active set M: rows come in tiles, parts are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from scipy.linalg import solve_triangular

from hamlearn.regression.positive import cholesky_or_none, eigen_root, solve_positive
from hamlearn.regression.rows import RowFactor, merged, regularised
from hamlearn.types import BoolArray, FloatArray, IntArray

Solver = Literal["normal", "rkhs", "qr", "rkhs-qr"]
JITTER = 1e-14


class SparseProblem:
    """min_x |Lambda^-1/2 (A x - y)|^2 + alpha x^T K x, K = K_MM and A = K_NM of an active set, or K = 1 for features.

    Rows are reduced to one triangular factor of Lambda^-1/2 [A y] for every part of the data: memory is of order m^2
    for each, whatever the number of rows. The order and size of tiles do not matter but for rounding. Rows that are to
    be predicted from all parts but their own are kept beside the factors.

    Args:
        gram: K [m, m]; a number m for features, K = 1.
        n_targets: columns of y.
        n_parts: parts of the data that can be left out.
        solver: "qr" (recommended): orthogonal factor of [Lambda^-1/2 K_NM; L^T], K_MM = L L^T; "rkhs": normal
            equations in the basis where K_MM is the identity, without its singular directions; "rkhs-qr": orthogonal
            factor in that basis; "normal": the formula as it stands, which loses half of the digits.
        jitter: "qr" and "normal" add this fraction of the largest row sum of |K_MM| to its diagonal, "rkhs" and
            "rkhs-qr" keep eigenvalues above this fraction of the largest. A K_MM that is singular all the same
            (repeated points, zero kernels) is reduced to its non-singular part by every solver.

    Raises:
        ConfigError: for a kernel that is not positive.

    Turning rows together with their data leaves the weights; permuting the active set permutes them.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 6 and 23; ridge regression: Nigam,
    Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 23-26.
    """

    def __init__(
        self,
        gram: FloatArray | int,
        n_targets: int = 1,
        n_parts: int = 1,
        solver: Solver = "qr",
        jitter: float = JITTER,
    ) -> None:
        self._orthogonal = solver in ("qr", "rkhs-qr")
        self.n_targets = n_targets
        if isinstance(gram, int):
            self.gram, self.root, self._prior, self.n_columns = np.zeros((0, 0)), None, None, gram
        else:
            self.gram, self.n_columns = gram, len(gram)
            self.root, self._prior = _basis(gram, solver in ("rkhs", "rkhs-qr"), jitter)
        self.rank = self.n_columns if self.root is None else self.root.shape[1]
        self.parts = [RowFactor(self.rank + n_targets) for _ in range(n_parts)]
        self._kept: dict[int, list[FloatArray]] = {}

    @property
    def is_ridge(self) -> bool:
        """Whether K is 1 in the basis of the rows, so that the regulariser is the square of the weights."""
        return self._prior is None

    def add(self, k: FloatArray, y: FloatArray, part: int = 0, variance: FloatArray | float = 1.0) -> None:
        """Take in rows of a part: kernels with the active set or features [row, m], data [row, t], variances [row]."""
        rows = self._in_basis(k, y)
        if np.ndim(variance) or variance != 1.0:
            rows /= np.sqrt(np.reshape(variance, (-1, 1)))
        self.parts[part].add(rows)

    def keep(self, k: FloatArray, y: FloatArray, part: int) -> None:
        """Keep rows that the other parts shall predict, of a part that may have no factor; they are not taken in."""
        self._kept.setdefault(part, []).append(self._in_basis(k, y))

    def take_in_kept(self) -> None:
        """Take in all rows that were kept, after which nothing is left out any more."""
        for part in self._kept:
            self.parts[0].add(self.kept(part))

    def kept(self, part: int) -> FloatArray:
        """Return the rows [A y] of a part that were kept, in the basis of the factors [row, r + t]."""
        self._kept[part] = [np.concatenate(self._kept[part])]
        return self._kept[part][0]

    def reached(self, smallest: float = 0.0) -> BoolArray:
        """Return which of the rows that were kept have a kernel that is not zero [row]."""
        return np.concatenate([self.kept(part)[:, : self.rank].any(axis=1) for part in self._kept])

    def left_out(self, alpha: float) -> FloatArray:
        """Return data minus predictions of all rows that were kept, each part from the others [row, t]."""
        r, out = self.rank, []
        for part in self._kept:
            rows = self.kept(part)
            out.append(rows[:, r:] - rows[:, :r] @ self._solve(self.factor([part]), alpha))
        return np.concatenate(out)

    def rows(self, columns: IntArray, without: Iterable[int] = ()) -> FloatArray:
        """Return R with R^T R = K_SN Lambda^-1 K_NS, of all parts but some and some columns S [k, column]."""
        return self.kernels(self.factor(without), columns)

    def rows_apart(self, columns: IntArray) -> Iterator[tuple[IntArray, IntArray, FloatArray, FloatArray]]:
        """Yield positions of the rows kept of every part, the columns S, k(*, S) of these rows, and R of the others."""
        start = 0
        for part in self._kept:
            k = self.kernels(self.kept(part), columns)
            yield np.arange(start, start + len(k)), columns, k, self.rows(columns, [part])
            start += len(k)

    def factor(self, without: Iterable[int] = ()) -> FloatArray:
        """Return the factor of the rows of all parts but some [k, r + t]."""
        kept = self._but(without)
        return merged(part.factor for part in kept) if kept else np.zeros((0, self.rank + self.n_targets))

    def n_rows(self, without: Iterable[int] = ()) -> int:
        """Return the number of rows of all parts but some."""
        return sum(part.n_rows for part in self._but(without))

    def weights(self, alpha: float, without: Iterable[int] = ()) -> FloatArray:
        """Return x [m, t] from the rows of all parts but some, with alpha > 0."""
        return self.from_basis(self._solve(self.factor(without), alpha))

    def from_basis(self, z: FloatArray) -> FloatArray:
        """Return weights of the columns [m, ...] from weights in the basis of the factors [r, ...]."""
        return z if self.root is None else self.root @ z

    def kernels(self, rows: FloatArray, columns: IntArray) -> FloatArray:
        """Return kernels with some columns [row, column] from rows [A y] in the basis of the factors."""
        if self.root is None:
            return rows[:, columns]
        return rows[:, : self.rank] @ (self.root.T @ self.gram[:, columns])

    def solved_by(self, solver: Solver, jitter: float = JITTER) -> SparseProblem:
        """Return the same rows for another solver."""
        gram = self.gram if len(self.gram) else self.n_columns
        other = SparseProblem(gram, self.n_targets, len(self.parts), solver, jitter)
        for index, part in enumerate(self.parts):
            other.add(self.kernels(part.factor, np.arange(self.n_columns)), part.factor[:, self.rank :], index)
            other.parts[index].n_rows = part.n_rows
        return other

    def _in_basis(self, k: FloatArray, y: FloatArray) -> FloatArray:
        return np.hstack([k if self.root is None else k @ self.root, y.reshape(len(y), self.n_targets)])

    def _but(self, without: Iterable[int]) -> list[RowFactor]:
        out = set(without)
        return [part for index, part in enumerate(self.parts) if index not in out]

    def _solve(self, factor: FloatArray, alpha: float) -> FloatArray:
        """Return the weights [r, t] in the basis of the rows."""
        r = self.rank
        prior = np.eye(r) if self._prior is None else self._prior
        if self._orthogonal:
            upper = regularised(factor, np.sqrt(alpha) * prior)
            return solve_triangular(upper[:r, :r], upper[:r, r:], check_finite=False)
        normal = factor[:, :r].T @ factor
        system = normal[:, :r] + alpha * prior.T @ prior
        return solve_positive(system, normal[:, r:], "the matrix of the normal equations")


def _basis(k: FloatArray, reproducing: bool, jitter: float) -> tuple[FloatArray | None, FloatArray | None]:
    """Return P [m, r] and upper S [r, r] with S^T S = P^T K P: the kernels themselves (P None), or where K is 1."""
    if not reproducing:
        largest = np.abs(k).sum(axis=1).max()  # a bound of the largest eigenvalue
        lower = cholesky_or_none(k + jitter * largest * np.eye(len(k)))
        if lower is not None:
            return None, lower.T
    return eigen_root(k, jitter, "the kernel of the active set"), None
