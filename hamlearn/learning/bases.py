"""What a property is expanded in: sums of kernels over structures, active environments, or kernels and derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from hamlearn.kernels import EnvironmentKernel, Environments
from hamlearn.kernels.gradients import directions_of
from hamlearn.types import FloatArray, IntArray, Irrep

if TYPE_CHECKING:
    from ase import Atoms

Energies = Callable[[Environments], tuple[FloatArray, FloatArray | None]]

SIDE = 4
"""Structures whose kernels are made together although only those with themselves are needed."""


@dataclass(frozen=True)
class Basis:
    """y(A) = sum_b K(A, b) x_b, with K(A, b) = sum_{i in A} sum_{j in b} k(i, j).

    - ``full``: b are structures;
    - ``sparse``: b are single active environments j;
    - ``derivatives``: b are structures B and the coordinates r of their atoms,
      E(A) = sum_B K(A, B) x_B + sum_{B, r} dK(A, B)/dr x_{B r}, and so are the rows of all that is made here.

    Args:
        kind: full, sparse or derivatives.
        kernel: fitted.
        structures: B, or those that hold the active environments.
        irrep: (L, sigma) of the property; for tensors k is a matrix of m = 2L+1 rows; (0, 1) with derivatives.
        rows: which atoms of each species are active, by their rank among the atoms of that species.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018); derivatives: Bigi, Pozdnyakov, Ceriotti,
    J. Chem. Phys. 161, 044116 (2024).
    """

    kind: str
    kernel: EnvironmentKernel
    structures: Sequence[Atoms]
    irrep: Irrep
    rows: Mapping[int, IntArray] | None = None

    @property
    def has_derivatives(self) -> bool:
        """Whether environments need derivatives of their densities."""
        return self.kind == "derivatives"

    @cached_property
    def environments(self) -> Environments:
        """All atoms of the structures, or the active ones, each of which counts as a structure."""
        env = self.kernel.environments(self.structures, gradients=self.has_derivatives)
        return env if self.rows is None else env.select(self.rows).apart()

    def parts(self, env: Environments) -> FloatArray:
        """Return the parts of the kernels of structures and basis [n_parts, structure x m, basis]."""
        if self.has_derivatives:
            return np.stack([self._derivatives(env, unit) for unit in np.eye(self.kernel.n_parts)])
        if self.irrep == (0, 1):
            return self.kernel.between(env, self.environments)
        parts = self.kernel.between_equivariant(env, self.environments, *self.irrep)
        n_parts, n_a, m, n_b, _ = parts.shape
        return parts.reshape(n_parts, n_a * m, n_b * m)

    def values(self, env: Environments, mixture: FloatArray) -> FloatArray:
        """Return kernels of structures and basis [structure x m, basis]."""
        if self.has_derivatives:
            return self._derivatives(env, mixture)[: env.n_structures]
        return np.tensordot(mixture, self.parts(env), 1)

    def gram(self, mixture: FloatArray) -> FloatArray:
        """Return kernels of the basis with itself [basis, basis]; derivatives follow the values."""
        of = self._derivatives if self.has_derivatives else self.values
        return of(self.environments, mixture)

    def values_and_gradients(self, env: Environments, mixture: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return kernels with active environments [structure, basis], and derivatives by positions [3 atom, basis]."""
        return self.kernel.gradient_rows(env, self.environments, mixture.tolist())

    def energies(self, weights: FloatArray, mixture: FloatArray) -> Energies:
        """Return what gives energies of environments and, if these have derivatives, gradients from weights [basis].

        E(A) = sum_{i in A} sum_j (x_j + delta c_j . d/dc_j) k(i, j): weights of coordinates change the densities c_j.
        """
        env = self.environments
        return partial(
            self.kernel.energies_and_gradients,
            basis=env,
            coefficients={z: torch.from_numpy(weights[structure]) for z, structure in env.structure.items()},
            directions=directions_of(env, weights[env.n_structures :]) if self.has_derivatives else None,
            weights=mixture.tolist(),
        )

    def _derivatives(self, env: Environments, mixture: FloatArray) -> FloatArray:
        return self.kernel.derivative_between(env, self.environments, mixture.tolist())


def self_kernels_of(
    kernel: EnvironmentKernel, structures: Sequence[Atoms], irrep: Irrep, mixture: FloatArray
) -> list[FloatArray]:
    """Return the kernel of every structure with itself [m, m], on all that densities hold."""
    kernel, m, out = kernel.uncontracted(), 2 * irrep[0] + 1, []
    for start in range(0, len(structures), SIDE):
        gram = Basis("full", kernel, structures[start : start + SIDE], irrep).gram(mixture)
        out += [gram[k : k + m, k : k + m] for k in range(0, len(gram), m)]
    return out
