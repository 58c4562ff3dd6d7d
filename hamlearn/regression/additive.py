"""Sums of models, each with its own kernel, learned together and told apart afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.errors import ConfigError
from hamlearn.regression.kernel_ridge import KernelRidge, SparseKernelRidge
from hamlearn.regression.positive import finite_array, matrix
from hamlearn.regression.sparse_solvers import JITTER, Solver
from hamlearn.types import FloatArray

Kernels = Sequence[ArrayLike] | FloatArray


class AdditiveKernelRidge:
    """y(A) = sum_p y_p(A), y_p(A) = sum_B w_p K_p(A, B) x_B: one fit of the sum, K = sum_p w_p K_p.

    The same as one linear model of all features side by side, those of part p scaled by w_p^1/2. Each part transforms
    as its kernel. What several kernels can express, such as a constant, is shared out between their parts.

    Args:
        weights: w_p, not negative [part]: the contribution expected of each part.
        solver: of fits on an active set, see :func:`hamlearn.regression.sparse_solvers.solve_sparse`.
        jitter: see :func:`hamlearn.regression.sparse_solvers.solve_sparse`.

    Attributes:
        weights_: x [basis, ...], common to all parts.

    Raises:
        ConfigError: for a negative or infinite weight, or if there are none.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 30, 66 and 67.
    """

    weights_: FloatArray
    model_: KernelRidge | SparseKernelRidge

    def __init__(self, weights: Sequence[float], solver: Solver = "qr", jitter: float = JITTER) -> None:
        self.weights = finite_array(weights, "the weights of the parts")
        if self.weights.ndim != 1 or not len(self.weights) or (self.weights < 0).any():
            raise ConfigError(
                f"the weights of the parts are {list(weights)}; expected one number for each, not negative, for "
                "otherwise their sum need not be positive semi-definite"
            )
        self.solver = solver
        self.jitter = jitter

    def fit(
        self, kernels: Kernels, y: ArrayLike, variance: ArrayLike, active_kernels: Kernels | None = None
    ) -> AdditiveKernelRidge:
        """Fit the sum of all parts.

        Args:
            kernels: of every part: data with themselves [part, n, n], or data with an active set [part, n, m]. Data
                may be energies and forces together, see :func:`joint_rows`.
            y: data [n, ...].
            variance: squared tolerance of each datum [n], or one number.
            active_kernels: of every part, the active set with itself [part, m, m]; None: the data are the basis.

        Raises:
            ConfigError: if the parts do not fit each other or the weights, and as ``solve_sparse``.
        """
        total = self._total(kernels)
        if active_kernels is None:
            self.model_ = KernelRidge().fit(total, y, variance)
        else:
            active = self._total(active_kernels)
            self.model_ = SparseKernelRidge(self.solver, self.jitter).fit(active, total, y, variance)
        self.weights_ = self.model_.weights_
        return self

    def predict(self, kernels_new: Kernels) -> FloatArray:
        """Return the sum of all parts [new, ...] from their kernels of new points and basis [part, new, basis]."""
        return self.parts(kernels_new).sum(axis=0)

    def parts(self, kernels_new: Kernels) -> FloatArray:
        """Return every part y_p [part, new, ...].

        Args:
            kernels_new: of every part, new points and basis [part, new, basis].

        Raises:
            ConfigError: before a fit, or if the kernels do not fit.
        """
        if not hasattr(self, "weights_"):
            raise ConfigError("this AdditiveKernelRidge was not fitted; call fit first")
        n_basis = len(self.weights_)
        kernels = [matrix(k, f"the kernel of part {p}", None, n_basis) for p, k in enumerate(self._all(kernels_new))]
        return np.stack([w * np.tensordot(k, self.weights_, 1) for w, k in zip(self.weights, kernels, strict=True)])

    def _total(self, kernels: Kernels) -> FloatArray:
        """Return sum_p w_p K_p."""
        parts = [matrix(k, f"the kernel of part {p}") for p, k in enumerate(self._all(kernels))]
        if len({k.shape for k in parts}) > 1:
            shapes = [list(k.shape) for k in parts]
            raise ConfigError(f"the kernels of the parts have shapes {shapes}; expected one shape, the same points")
        return np.einsum("p,pij->ij", self.weights, np.stack(parts))

    def _all(self, kernels: Kernels) -> list[ArrayLike]:
        listed = list(kernels)
        if len(listed) != len(self.weights):
            raise ConfigError(f"{len(listed)} kernels for {len(self.weights)} weights; give one kernel for each part")
        return listed


def joint_rows(values: ArrayLike, gradients: ArrayLike) -> FloatArray:
    """Return kernels of energies and forces as rows [structure + 3 atom, basis]: K, then -dK/dr, for F = -dE/dr.

    Args:
        values: K of structures and basis [structure, basis].
        gradients: dK/dr of every coordinate x, y, z of every atom [3 atom, basis].

    Raises:
        ConfigError: if the bases differ.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 16 and 28.
    """
    k = matrix(values, "the kernel of structures and basis")
    return np.concatenate([k, -matrix(gradients, "the derivatives of the kernel", n_columns=k.shape[1])])


def joint_data(
    energies: ArrayLike, forces: ArrayLike, energy_variance: float, force_variance: float
) -> tuple[FloatArray, FloatArray]:
    """Return data and variances of :func:`joint_rows` [structure + 3 atom].

    Args:
        energies: [structure].
        forces: of all atoms of all structures [atom, 3], in units of the energies per Å.
        energy_variance: squared tolerance of an energy.
        force_variance: squared tolerance of a component of a force.
    """
    e, f = finite_array(energies, "the energies").ravel(), finite_array(forces, "the forces").ravel()
    return np.concatenate([e, f]), np.repeat([energy_variance, force_variance], [len(e), len(f)]).astype(np.float64)
