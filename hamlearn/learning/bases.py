"""What a property is expanded in: sums of kernels over structures, active environments, or kernels and derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from hamlearn.kernels import EnvironmentKernel, Environments
from hamlearn.kernels.gradients import directions_of
from hamlearn.types import FloatArray, IntArray, Irrep

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Functional:
    """E(A) = sum_{i in A} sum_j (x_j + delta c_j . d/dc_j) k(i, j) over environments j: a weighted basis of energies.

    Attributes:
        environments: j.
        coefficients: x_j by species.
        directions: changes delta c_j of the densities by species; None for none.
    """

    environments: Environments
    coefficients: dict[int, Tensor]
    directions: dict[int, Tensor] | None = None


@dataclass(frozen=True)
class StructureBasis:
    """y(A) = sum_B K(A, B) x_B, with K(A, B) = sum_{i in A} sum_{j in B} k(i, j).

    Args:
        kernel: fitted.
        structures: B.
        irrep: (L, sigma) of the property.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018); for tensors k is a matrix of 2L+1 rows.
    """

    kind: ClassVar[str] = "full"
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

    def functional(self, weights: FloatArray) -> Functional:
        """Return the energy that weights [basis] stand for."""
        return Functional(self.environments, _by_species(self.environments, weights))


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

    kind: ClassVar[str] = "sparse"
    kernel: EnvironmentKernel
    structures: Sequence[Atoms]
    irrep: Irrep
    rows: Mapping[int, IntArray]

    @cached_property
    def environments(self) -> Environments:
        """The active environments."""
        return self.kernel.environments(self.structures).select(self.rows)

    def values(self, env: Environments, mixture: FloatArray) -> FloatArray:
        """Return kernels of structures and basis [structure x m, basis]."""
        if self.irrep == (0, 1):
            return np.tensordot(mixture, self.kernel.rows(env, self.environments), 1)
        parts = self.kernel.rows_equivariant(env, self.environments, *self.irrep)
        return np.tensordot(mixture, _as_matrices(parts), 1)

    def gram(self, mixture: FloatArray) -> FloatArray:
        """Return kernels of the basis with itself [basis, basis], block-diagonal in the species."""
        active, m = self.environments, 2 * self.irrep[0] + 1
        out = np.zeros((len(active), m, len(active), m))
        for z, parts in self.kernel.environment_matrix(active, active, self.irrep).items():
            where = active.slices()[z]
            out[where, :, where] = np.tensordot(mixture, parts, 1).transpose(2, 0, 3, 1)
        return out.reshape(len(active) * m, len(active) * m)

    def values_and_gradients(self, env: Environments, mixture: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return kernels [structure, basis] and their derivatives with respect to positions [3 atom, basis]."""
        return self.kernel.gradient_rows(env, self.environments, mixture.tolist())

    def functional(self, weights: FloatArray) -> Functional:
        """Return the energy that weights [basis] stand for."""
        where = self.environments.slices()
        return Functional(self.environments, {z: torch.from_numpy(weights[rows]) for z, rows in where.items()})


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

    kind: ClassVar[str] = "derivatives"
    kernel: EnvironmentKernel
    structures: Sequence[Atoms]
    irrep: Irrep

    @cached_property
    def environments(self) -> Environments:
        """All atoms of the structures, with derivatives."""
        return self.kernel.environments(self.structures, gradients=True)

    def values(self, env: Environments, mixture: FloatArray) -> FloatArray:
        """Return kernels of structures (with gradients) and basis [structure, basis]."""
        return self._matrix(env, mixture)[: env.n_structures]

    def gram(self, mixture: FloatArray) -> FloatArray:
        """Return kernels and derivatives of the basis with itself [basis, basis]: values, then gradients."""
        return self._matrix(self.environments, mixture)

    def functional(self, weights: FloatArray) -> Functional:
        """Return the energy that weights [basis] stand for."""
        n, env = len(self.structures), self.environments
        return Functional(env, _by_species(env, weights[:n]), directions_of(env, weights[n:]))

    def _matrix(self, env: Environments, mixture: FloatArray) -> FloatArray:
        return self.kernel.derivative_between(env, self.environments, mixture.tolist())


Basis = StructureBasis | ActiveBasis | DerivativeBasis


def make_basis(
    kind: str,
    kernel: EnvironmentKernel,
    structures: Sequence[Atoms],
    irrep: Irrep,
    rows: Mapping[int, IntArray] | None = None,
) -> Basis:
    """Return the basis of a kind: full, sparse (with rows of the active environments) or derivatives."""
    if kind == "sparse":
        return ActiveBasis(kernel, structures, irrep, rows or {})
    return (StructureBasis if kind == "full" else DerivativeBasis)(kernel, structures, irrep)


def self_kernels_of(
    kernel: EnvironmentKernel, structures: Sequence[Atoms], irrep: Irrep, mixture: FloatArray
) -> list[FloatArray]:
    """Return the kernel of every structure with itself [m, m], on all that densities hold."""
    kernel, m, out = kernel.uncontracted(), 2 * irrep[0] + 1, []
    for start in range(0, len(structures), SIDE):
        gram = StructureBasis(kernel, structures[start : start + SIDE], irrep).gram(mixture)
        out += [gram[k : k + m, k : k + m] for k in range(0, len(gram), m)]
    return out


SIDE = 4
"""Structures whose kernels are made together although only those with themselves are needed."""


def _by_species(env: Environments, weights: FloatArray) -> dict[int, Tensor]:
    """Return the weight of the structure of every environment, by species."""
    return {z: torch.from_numpy(weights[structure]) for z, structure in env.structure.items()}


def _as_matrices(parts: FloatArray) -> FloatArray:
    """Return [n_parts, A, m, B, m] as matrices [n_parts, A x m, B x m]."""
    n_parts, n_a, m, n_b, _ = parts.shape
    return parts.reshape(n_parts, n_a * m, n_b * m)
