"""Regression in a fixed basis, features or kernels with an active set M: rows come in tiles, parts are left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from scipy.linalg import solve_triangular

from hamlearn.regression.positive import cholesky_or_none, eigen_root, solve_positive
from hamlearn.regression.rows import RowFactor, merged, regularised
from hamlearn.types import FloatArray

Solver = Literal["normal", "rkhs", "qr", "rkhs-qr"]
JITTER = 1e-14


class SparseProblem:
    """min_x |Lambda^-1/2 (A x - y)|^2 + alpha x^T K x, K = K_MM and A = K_NM of an active set, or K = 1 for features.

    Rows are reduced to one triangular factor of Lambda^-1/2 [A y] for every part of the data: memory is of order m^2
    for each, whatever the number of rows. The order and size of tiles do not matter but for rounding.

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
        self._gram, self._n_targets = gram, n_targets
        if isinstance(gram, int):
            self.root, self._prior, self.n_columns = None, None, gram
        else:
            self.root, self._prior = _basis(gram, solver in ("rkhs", "rkhs-qr"), jitter)
            self.n_columns = len(gram)
        self.rank = self.n_columns if self.root is None else self.root.shape[1]
        self.parts = [RowFactor(self.rank + n_targets) for _ in range(n_parts)]

    @property
    def is_ridge(self) -> bool:
        """Whether K is 1 in the basis of the rows, so that the regulariser is the square of the weights."""
        return self._prior is None

    def add(self, k: FloatArray, y: FloatArray, part: int = 0, variance: FloatArray | float = 1.0) -> None:
        """Take in rows of a part: kernels with the active set or features [row, m], data [row, t], variances [row]."""
        phi = k if self.root is None else k @ self.root
        rows = np.hstack([phi, y.reshape(len(y), self._n_targets)])
        if np.ndim(variance) or variance != 1.0:
            rows /= np.sqrt(np.reshape(variance, (-1, 1)))
        self.parts[part].add(rows)

    def factor(self, without: Iterable[int] = ()) -> FloatArray:
        """Return the factor of the rows of all parts but some [k, r + t]."""
        kept = self._kept(without)
        return merged(part.factor for part in kept) if kept else np.zeros((0, self.rank + self._n_targets))

    def n_rows(self, without: Iterable[int] = ()) -> int:
        """Return the number of rows of all parts but some."""
        return sum(part.n_rows for part in self._kept(without))

    def weights(self, alpha: float, without: Iterable[int] = ()) -> FloatArray:
        """Return x [m, t] from the rows of all parts but some, with alpha > 0."""
        z = self._solve(self.factor(without), alpha)
        return z if self.root is None else self.root @ z

    def solved_by(self, solver: Solver, jitter: float = JITTER) -> SparseProblem:
        """Return the same rows for another solver."""
        other = SparseProblem(self._gram, self._n_targets, len(self.parts), solver, jitter)
        back = None if self.root is None or isinstance(self._gram, int) else self.root.T @ self._gram
        for part, new in zip(self.parts, other.parts, strict=True):
            rows = part.factor[:, : self.rank]
            rows = rows if back is None else rows @ back
            new.add(np.hstack([rows if other.root is None else rows @ other.root, part.factor[:, self.rank :]]))
            new.n_rows = part.n_rows
        return other

    def _kept(self, without: Iterable[int]) -> list[RowFactor]:
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
