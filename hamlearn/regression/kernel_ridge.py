"""Kernel ridge regression, with the data or an active set as basis, and the variance of its predictions."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.errors import ConfigError
from hamlearn.regression.farthest import SAME
from hamlearn.regression.positive import PositiveFactor, finite_array, matrix, square_matrix
from hamlearn.regression.sparse_solvers import (
    JITTER,
    Solver,
    SparseAccumulator,
    SparseSolution,
    factorise_and_solve,
)
from hamlearn.types import FloatArray, IntArray


class KernelRidge:
    """y(A) = sum_B K(A, B) x_B over all data B, x = (K + Lambda)^-1 y: the mean of a Gaussian process.

    Predictions transform as the kernel: invariant if it is; a kernel of tensors, whose rows are (point, m), gives
    tensors.

    Attributes:
        weights_: x [n, ...].
        factor_: of K + Lambda.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 1, 5 and 8.
    """

    weights_: FloatArray
    factor_: PositiveFactor

    def fit(self, k: ArrayLike, y: ArrayLike, variance: ArrayLike) -> KernelRidge:
        """Fit; see :func:`hamlearn.regression.sparse_solvers.solve_kernel` for the arguments and what is refused."""
        self.factor_, self.weights_ = factorise_and_solve(k, y, variance)
        return self

    def predict(self, k_new: ArrayLike) -> FloatArray:
        """Return y [new, ...].

        Args:
            k_new: kernel of new points and the data [new, n].

        Raises:
            ConfigError: before a fit, or for a kernel of another shape.
        """
        return np.tensordot(_rows(self, k_new), self.weights_, 1)

    def variance(self, k_diag_new: ArrayLike, k_new: ArrayLike) -> FloatArray:
        """Return K(A, A) - k_A (K + Lambda)^-1 k_A^T [new], in the units of the kernel; without noise of new data.

        Args:
            k_diag_new: kernel of new points with themselves [new].
            k_new: kernel of new points and the data [new, n].

        Raises:
            ConfigError: before a fit, or for shapes that do not fit.

        Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eq. 2.26.
        """
        rows = _rows(self, k_new)
        known = (self.factor_.whiten(rows.T) ** 2).sum(axis=0)
        return np.maximum(_diagonal(k_diag_new, len(rows)) - known, 0.0)


class SparseKernelRidge:
    """y(A) = sum_B K(A, B) x_B over an active set M, x = (K_MM + K_MN Lambda^-1 K_NM)^-1 K_MN Lambda^-1 y.

    Predictions transform as the kernel. Points of the active set that repeat others add nothing.

    Args:
        solver: see :func:`hamlearn.regression.sparse_solvers.solve_sparse`.
        jitter: see :func:`hamlearn.regression.sparse_solvers.solve_sparse`.

    Attributes:
        weights_: x [m, ...].
        duplicates_: points of the active set that equal an earlier one, or whose kernels all vanish.
        solution_: weights and factors of the variance.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 1, 6 and 8.
    """

    weights_: FloatArray
    duplicates_: IntArray
    solution_: SparseSolution

    def __init__(self, solver: Solver = "qr", jitter: float = JITTER) -> None:
        self.solver = solver
        self.jitter = jitter

    def fit(self, k_mm: ArrayLike, k_nm: ArrayLike, y: ArrayLike, variance: ArrayLike) -> SparseKernelRidge:
        """Fit; see :func:`hamlearn.regression.sparse_solvers.solve_sparse` for the arguments and what is refused."""
        return self.fit_tiles(k_mm, [(k_nm, y, variance)])

    def fit_tiles(self, k_mm: ArrayLike, tiles: Iterable[tuple[ArrayLike, ArrayLike, ArrayLike]]) -> SparseKernelRidge:
        """Fit to data that come in tiles, so that the kernel of data and active set is never held whole.

        Args:
            k_mm: kernel of the active set with itself [m, m].
            tiles: kernel of some data and the active set [rows, m], data [rows, ...], variances [rows] or a number.
        """
        accumulator = SparseAccumulator(k_mm, self.solver, self.jitter)
        for tile in tiles:
            accumulator.add(*tile)
        self.solution_ = accumulator.solution()
        self.weights_ = self.solution_.weights
        self.duplicates_ = duplicate_points(k_mm)
        return self

    def predict(self, k_new: ArrayLike) -> FloatArray:
        """Return y [new, ...].

        Args:
            k_new: kernel of new points and the active set [new, m].

        Raises:
            ConfigError: before a fit, or for a kernel of another shape.
        """
        return np.tensordot(_rows(self, k_new), self.weights_, 1)

    def variance(self, k_diag_new: ArrayLike, k_new: ArrayLike) -> FloatArray:
        """Return K(A, A) - k_A K_MM^-1 k_A^T + k_A (K_MM + K_MN Lambda^-1 K_NM)^-1 k_A^T [new].

        In the units of the kernel, without noise of new data; at least zero.

        Args:
            k_diag_new: kernel of new points with themselves [new].
            k_new: kernel of new points and the active set [new, m].

        Raises:
            ConfigError: before a fit, for shapes that do not fit, or after a fit without tolerances.

        Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eq. 8.27.
        """
        rows = _rows(self, k_new)
        if self.solution_.posterior is None:
            raise ConfigError("a fit without tolerances has no variance; fit with variances above zero")
        prior, posterior = ((rows @ root) ** 2 for root in (self.solution_.prior, self.solution_.posterior))
        return np.maximum(_diagonal(k_diag_new, len(rows)) - prior.sum(axis=1) + posterior.sum(axis=1), 0.0)


def duplicate_points(k: ArrayLike) -> IntArray:
    """Return the points with K(A, A) + K(B, B) - 2 K(A, B) = 0 for an earlier B, or K(A, A) = 0 [k].

    Args:
        k: kernel of points with themselves [n, n].

    Raises:
        ConfigError: if it is not square, symmetric and finite.
    """
    kernel = square_matrix(k, "the kernel")
    diagonal = kernel.diagonal()
    squared = diagonal[:, None] + diagonal - 2 * kernel
    same = np.tril(squared <= SAME * diagonal.max(), k=-1).any(axis=1)
    return np.flatnonzero(same | (diagonal <= SAME * diagonal.max()))


def _rows(model: KernelRidge | SparseKernelRidge, k_new: ArrayLike) -> FloatArray:
    if not hasattr(model, "weights_"):
        raise ConfigError(f"this {type(model).__name__} was not fitted; call fit first")
    return matrix(k_new, "the kernel of new points and basis", n_columns=len(model.weights_))


def _diagonal(k_diag: ArrayLike, n: int) -> FloatArray:
    diagonal = finite_array(k_diag, "the kernel of new points with themselves")
    if diagonal.shape != (n,):
        raise ConfigError(f"the kernel of new points with themselves has shape {list(diagonal.shape)}; expected [{n}]")
    return diagonal
