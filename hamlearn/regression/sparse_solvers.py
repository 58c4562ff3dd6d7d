"""Weights of kernel models, y(A) = sum_B K(A, B) x_B: data as basis, or a smaller active set M for data N."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lapack, lstsq, solve_triangular

from hamlearn.errors import ConfigError, nearest
from hamlearn.regression.positive import (
    PositiveFactor,
    cholesky_or_none,
    eigen_root,
    finite_array,
    matrix,
    square_matrix,
)
from hamlearn.types import FloatArray

Solver = Literal["normal", "rkhs", "qr", "rkhs-qr"]
JITTER = 1e-14
BLOCK = 64
"""Columns that LAPACK reduces at once."""
EPS = float(np.finfo(np.float64).eps)


def solve_kernel(k: ArrayLike, y: ArrayLike, variance: ArrayLike) -> FloatArray:
    """Return x = (K + Lambda)^-1 y [n, ...], the pseudo-inverse where K + Lambda is singular.

    Rotating, inverting or permuting data and basis together leaves x as it is, or permutes it.

    Args:
        k: kernel of the data with themselves, positive semi-definite [n, n].
        y: data [n] or [n, t].
        variance: squared tolerance of each datum, the diagonal of Lambda [n], or one number; 0 interpolates.

    Raises:
        ConfigError: for shapes that do not fit, numbers that are not finite, negative variances, or a kernel that is
            not positive semi-definite.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 3 and 5.
    """
    return factorise_and_solve(k, y, variance)[1]


def factorise_and_solve(k: ArrayLike, y: ArrayLike, variance: ArrayLike) -> tuple[PositiveFactor, FloatArray]:
    """Return K + Lambda, factorised, and the weights; see :func:`solve_kernel`."""
    k = square_matrix(k, "the kernel of the data")
    y = target_rows(y, len(k))
    regularised = k.copy()
    np.fill_diagonal(regularised, k.diagonal() + variances(variance, len(k)))
    factor = PositiveFactor.of(regularised, "the kernel of the data")
    return factor, factor.solve(y.reshape(len(y), -1)).reshape(y.shape)


def solve_sparse(
    k_mm: ArrayLike,
    k_nm: ArrayLike,
    y: ArrayLike,
    variance: ArrayLike,
    solver: Solver = "qr",
    jitter: float = JITTER,
) -> FloatArray:
    """Return x = (K_MM + K_MN Lambda^-1 K_NM)^-1 K_MN Lambda^-1 y [m, ...], weights of an active set.

    It minimises |K_NM x - y|^2_{Lambda^-1} + x^T K_MM x; without tolerances |K_NM x - y|^2 alone. Invariant as
    :func:`solve_kernel`, in any order of data.

    Args:
        k_mm: kernel of the active set with itself [m, m].
        k_nm: kernel of data and active set, or any linear functional of it such as sums and derivatives [n, m].
        y: data [n] or [n, t].
        variance: squared tolerance of each datum [n], or one number; 0 for all: no regulariser.
        solver: "qr" (recommended): orthogonal factor of [Lambda^-1/2 K_NM; L^T], K_MM = L L^T; "rkhs": normal
            equations in the basis where K_MM is the identity, without its singular directions; "rkhs-qr": orthogonal
            factor in that basis; "normal": the formula as it stands, which loses half of the digits.
        jitter: "qr" and "normal" add this fraction of the largest row sum of |K_MM| to its diagonal, "rkhs" and
            "rkhs-qr" keep eigenvalues above this fraction of the largest. A K_MM that is singular all the same
            (repeated points, zero kernels) is reduced to its non-singular part by every solver.

    Raises:
        ConfigError: as :func:`solve_kernel`; for more active points than data without tolerances.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 4, 6 and 7.
    """
    accumulator = SparseAccumulator(k_mm, solver, jitter)
    accumulator.add(k_nm, y, variance)
    return accumulator.solve()


@dataclass(frozen=True)
class SparseSolution:
    """Weights of an active set and what the variance of predictions needs.

    Attributes:
        weights: x [m, ...].
        prior: V [m, r] with K_MM^-1 = V V^T.
        posterior: W [m, r] with (K_MM + K_MN Lambda^-1 K_NM)^-1 = W W^T; None without tolerances.
    """

    weights: FloatArray
    prior: FloatArray
    posterior: FloatArray | None


class SparseAccumulator:
    """Sums up data for :func:`solve_sparse` tile by tile, so that K_NM is never held whole.

    Rows are kept until there are a quarter as many as active points, then reduced to one triangular factor of
    Lambda^-1/2 [K_NM y] ("qr", "rkhs-qr") or added to its normal equations; memory is of order m^2 whatever n.
    The order and size of tiles do not matter but for rounding.

    Args:
        k_mm: kernel of the active set with itself [m, m].
        solver: as in :func:`solve_sparse`.
        jitter: as in :func:`solve_sparse`.

    Raises:
        ConfigError: for an unknown solver, or a kernel that is not square, symmetric, finite and positive.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 6 and 23.
    """

    def __init__(self, k_mm: ArrayLike, solver: Solver = "qr", jitter: float = JITTER) -> None:
        if solver not in get_args(Solver):
            known = ", ".join(get_args(Solver))
            raise ConfigError(f"unknown solver '{solver}'; expected {known}{nearest(solver, get_args(Solver))}")
        if not 0 <= jitter < 1:
            raise ConfigError(f"jitter is {jitter}; expected a fraction of the kernel, such as {JITTER:g}")
        k = square_matrix(k_mm, "the kernel of the active set")
        self.n_active = len(k)
        self._orthogonal = solver in ("qr", "rkhs-qr")
        self._basis, self._prior = _basis(k, solver in ("rkhs", "rkhs-qr"), jitter)
        self._pending: list[FloatArray] = []
        self._reduced: FloatArray | None = None
        self._targets: tuple[int, ...] | None = None
        self._exact = False
        self._n_rows = 0

    def add(self, k_rows: ArrayLike, y_rows: ArrayLike, variance_rows: ArrayLike = 1.0) -> None:
        """Add data.

        Args:
            k_rows: kernel of some data and the active set [rows, m].
            y_rows: the data [rows] or [rows, t].
            variance_rows: their squared tolerances [rows], or one number; 0 for all data, or for none.

        Raises:
            ConfigError: for shapes that do not fit each other or what was added before, or bad numbers.
        """
        k = matrix(k_rows, "the kernel of data and active set", n_columns=self.n_active)
        y, variance = target_rows(y_rows, len(k)), variances(variance_rows, len(k))
        if not len(k):
            return
        if self._targets is None:
            self._targets, self._exact = y.shape[1:], not variance.any()
        if self._targets != y.shape[1:]:
            raise ConfigError(f"data of shape {list(y.shape)} follow others of shape [rows, *{list(self._targets)}]")
        if not (variance == 0 if self._exact else variance > 0).all():
            raise ConfigError("some variances are zero and others are not; expected all positive, or all zero")
        weight = np.ones_like(variance) if self._exact else 1 / np.sqrt(variance)
        phi = k if self._basis is None else k @ self._basis
        self._pending.append(np.hstack([phi, y.reshape(len(y), -1)]) * weight[:, None])
        self._n_rows += len(k)
        if 4 * sum(map(len, self._pending)) >= self.n_active:
            self._reduce()

    def solve(self, regulariser_scale: float = 1.0) -> FloatArray:
        """Return the weights [m, ...] with all squared tolerances multiplied by a factor.

        Args:
            regulariser_scale: the factor; 0 for no regulariser.

        Raises:
            ConfigError: if nothing was added, the factor is not acceptable, or the weights are not determined.
        """
        return self._solve(regulariser_scale, posterior=False).weights

    def solution(self, regulariser_scale: float = 1.0) -> SparseSolution:
        """Return weights and factors of the variance; see :meth:`solve`."""
        return self._solve(regulariser_scale, posterior=True)

    def _solve(self, regulariser_scale: float, posterior: bool) -> SparseSolution:
        """Return weights and factors of the variance, that of the posterior only if asked for."""
        scale = float(finite_array(regulariser_scale, "regulariser_scale"))
        if scale < 0:
            raise ConfigError(f"regulariser_scale is {scale}; expected a number that is not negative")
        reduced = self._reduce()
        if reduced is None or self._targets is None:
            raise ConfigError("there are no data; add rows before solving")
        z, w = self._solve_reduced(reduced, 0.0 if self._exact else scale, posterior)
        weights = self._expand(z).reshape(self.n_active, *self._targets)
        prior = self._expand(_inverse_of_triangle(self._prior)) if posterior else self._prior
        return SparseSolution(weights, prior, None if w is None else self._expand(w))

    def _solve_reduced(
        self, reduced: FloatArray, scale: float, posterior: bool
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return weights [r, t], and W [r, r] of the variance, in the basis of the rows."""
        r = len(self._prior)
        a, b = reduced[:, :r], reduced[:, r:]
        if not scale:
            if self.n_active > self._n_rows:
                raise ConfigError(
                    f"{self.n_active} active points for {self._n_rows} data without tolerances are not determined; "
                    "give variances above zero or fewer active points"
                )
            return lstsq(a, b, cond=self.n_active * EPS, check_finite=False)[0], None
        if self._orthogonal:
            padded = np.hstack([np.sqrt(scale) * self._prior, np.zeros((r, b.shape[1]))])
            upper = triangle(reduced, padded, is_upper=True)
            z = solve_triangular(upper[:r, :r], upper[:r, r:], check_finite=False)
            return z, np.sqrt(scale) * _inverse_of_triangle(upper[:r, :r]) if posterior else None
        normal = PositiveFactor.of(a + scale * self._prior.T @ self._prior, "the matrix of the normal equations")
        return normal.solve(b), np.sqrt(scale) * normal.whiten(np.eye(r)).T if posterior else None

    def _expand(self, z: FloatArray) -> FloatArray:
        return z if self._basis is None else self._basis @ z

    def _reduce(self) -> FloatArray | None:
        """Return the triangular factor of all rows, or Phi^T [Phi y]; nothing is pending afterwards."""
        if self._pending:
            rows, before = np.vstack(self._pending), self._reduced
            if self._orthogonal:
                n = rows.shape[1]
                self._reduced = triangle(np.zeros((n, n)) if before is None else before, rows)
            else:
                normal = rows[:, : len(self._prior)].T @ rows
                self._reduced = normal if before is None else before + normal
            self._pending = []
        return self._reduced


def target_rows(y: ArrayLike, n: int) -> FloatArray:
    """Return finite data [n, ...], float64.

    Raises:
        ConfigError: for another number of rows, or numbers that are not finite.
    """
    array = finite_array(y, "the data")
    if array.ndim == 0 or len(array) != n:
        raise ConfigError(f"the data have shape {list(array.shape)}; expected {n} rows, as the kernel has")
    return array


def variances(variance: ArrayLike, n: int) -> FloatArray:
    """Return squared tolerances [n] from one number or n of them.

    Raises:
        ConfigError: for another shape, or numbers that are negative or not finite.
    """
    array = finite_array(variance, "the variance")
    if array.shape not in ((), (n,)):
        raise ConfigError(f"the variance has shape {list(array.shape)}; expected one number or {n}, one per datum")
    if (array < 0).any():
        raise ConfigError(f"the variance of a datum is {array.min()}; expected squared tolerances, zero or above")
    return np.broadcast_to(array, (n,))


def _basis(k: FloatArray, reproducing: bool, jitter: float) -> tuple[FloatArray | None, FloatArray]:
    """Return P [m, r] and upper S [r, r] with S^T S = P^T K P: the kernels themselves (P None), or where K is 1."""
    if not reproducing:
        largest = np.abs(k).sum(axis=1).max()  # a bound of the largest eigenvalue
        lower = cholesky_or_none(k + jitter * largest * np.eye(len(k)))
        if lower is not None:
            return None, lower.T
    root = eigen_root(k, jitter, "the kernel of the active set")
    return root, np.eye(root.shape[1])


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


def _inverse_of_triangle(upper: FloatArray) -> FloatArray:
    return solve_triangular(upper, np.eye(len(upper)), check_finite=False)
