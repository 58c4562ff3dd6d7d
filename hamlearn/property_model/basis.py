"""What a property is expanded in: sums of kernels over structures, active environments, or kernels and derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hamlearn.kernels import EnvironmentKernel, Environments

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Irrep = tuple[int, int]


@dataclass(frozen=True)
class StructureBasis:
    """y(A) = sum_B K(A, B) x_B, with K(A, B) = sum_{i in A} sum_{j in B} k(i, j).

    Args:
        kernel: fitted.
        structures: B.
        irrep: (L, sigma) of the property.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018); for tensors k is a matrix of 2L+1 rows.
    """

    kernel: EnvironmentKernel
    structures: Sequence[Atoms]
    irrep: Irrep

    @cached_property
    def environments(self) -> Environments:
        """All atoms of the structures."""
        return self.kernel.environments(self.structures)

    def parts(self, env: Environments) -> FloatArray:
        """Return the parts of the kernels of structures and basis [n_parts, structure x m, basis]."""
        if self.irrep == (0, 1):
            return self.kernel.between(env, self.environments)
        return _as_matrices(self.kernel.between_equivariant(env, self.environments, *self.irrep))

    def values(self, env: Environments, mixture: FloatArray) -> FloatArray:
        """Return kernels of structures and basis [structure x m, basis]."""
        return np.tensordot(mixture, self.parts(env), 1)

    def gram(self, mixture: FloatArray) -> FloatArray:
        """Return kernels of the basis with itself [basis, basis]."""
        return self.values(self.environments, mixture)

    def gradients(self, env: Environments, mixture: FloatArray, weights: FloatArray) -> FloatArray:
        """Return dE/dr of every atom for weights [basis]: [atom, 3]."""
        active = self.environments
        of_row = np.concatenate([active.structure[z] for z in active.species])
        return (self.kernel.gradient_rows(env, active, mixture)[1] @ weights[of_row]).reshape(-1, 3)


@dataclass(frozen=True)
class ActiveBasis:
    """y(A) = sum_j sum_{i in A} k(i, j) x_j over active environments j.

    Args:
        kernel: fitted.
        structures: that hold the active environments.
        irrep: (L, sigma) of the property.
        rows: which atoms of each species are active, by their rank among the atoms of that species.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018).
    """

    kernel: EnvironmentKernel
    structures: Sequence[Atoms]
    irrep: Irrep
    rows: Mapping[int, IntArray]

    @cached_property
    def environments(self) -> Environments:
        """The active environments."""
        return self.kernel.environments(self.structures).select(self.rows)

    def parts(self, env: Environments) -> FloatArray:
        """Return the parts of the kernels of structures and basis [n_parts, structure x m, basis]."""
        if self.irrep == (0, 1):
            return self.kernel.rows(env, self.environments)
        return _as_matrices(self.kernel.rows_equivariant(env, self.environments, *self.irrep))

    def values(self, env: Environments, mixture: FloatArray) -> FloatArray:
        """Return kernels of structures and basis [structure x m, basis]."""
        return np.tensordot(mixture, self.parts(env), 1)

    def gram(self, mixture: FloatArray) -> FloatArray:
        """Return kernels of the basis with itself [basis, basis], block-diagonal in the species."""
        active, m = self.environments, 2 * self.irrep[0] + 1
        out = np.zeros((len(active), m, len(active), m))
        for z, parts in self.kernel.environment_matrix(active, active, self.irrep).items():
            where = active.slices()[z]
            out[where, :, where] = np.tensordot(mixture, parts, 1).transpose(2, 0, 3, 1)
        return out.reshape(len(active) * m, len(active) * m)

    def rows_with_gradients(self, env: Environments, mixture: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return kernels [structure, basis] and their derivatives with respect to positions [3 atom, basis]."""
        return self.kernel.gradient_rows(env, self.environments, mixture)

    def gradients(self, env: Environments, mixture: FloatArray, weights: FloatArray) -> FloatArray:
        """Return dE/dr of every atom for weights [basis]: [atom, 3]."""
        return (self.rows_with_gradients(env, mixture)[1] @ weights).reshape(-1, 3)


@dataclass(frozen=True)
class DerivativeBasis:
    """E(A) = sum_B K(A, B) x_B + sum_{B, r} dK(A, B)/dr x_{B r} over structures B and the coordinates r of their atoms.

    Args:
        kernel: fitted.
        structures: B.
        irrep: (0, 1).

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024); Ceriotti, Willatt, Csányi, Handbook of
    Materials Modeling (2018).
    """

    kernel: EnvironmentKernel
    structures: Sequence[Atoms]
    irrep: Irrep = field(default=(0, 1))

    @cached_property
    def environments(self) -> Environments:
        """All atoms of the structures, with derivatives."""
        return self.kernel.environments(self.structures, gradients=True)

    def values(self, env: Environments, mixture: FloatArray) -> FloatArray:
        """Return kernels of structures and basis [structure, basis]."""
        return self.kernel.derivative_between(env, self.environments, mixture)[: env.n_structures]

    def gram(self, mixture: FloatArray) -> FloatArray:
        """Return kernels and derivatives of the basis with itself [basis, basis]: values, then gradients."""
        return self.kernel.derivative_between(self.environments, self.environments, mixture)

    def gradients(self, env: Environments, mixture: FloatArray, weights: FloatArray) -> FloatArray:
        """Return dE/dr of every atom for weights [basis]: [atom, 3]."""
        rows = self.kernel.derivative_between(env, self.environments, mixture)[env.n_structures :]
        return (rows @ weights).reshape(-1, 3)


Basis = StructureBasis | ActiveBasis | DerivativeBasis


def structure_diagonal(kernel: EnvironmentKernel, structures: Sequence[Atoms], irrep: Irrep, mixture: FloatArray) -> FloatArray:
    """Return the kernel of every structure with itself, components of tensors one after the other [structure x m]."""
    out = []
    for start in range(0, len(structures), SIDE):
        chunk = StructureBasis(kernel, structures[start : start + SIDE], irrep)
        out.append(np.diagonal(chunk.gram(mixture)))
    return np.concatenate(out)


SIDE = 4
"""Structures whose kernels are made together although only those with themselves are needed."""


def _as_matrices(parts: FloatArray) -> FloatArray:
    """Return [n_parts, A, m, B, m] as matrices [n_parts, A x m, B x m]."""
    n_parts, n_a, m, n_b, _ = parts.shape
    return parts.reshape(n_parts, n_a * m, n_b * m)
