"""Kernels of structures other than sums of environment kernels: matches, averages, messages, pairs and triangles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import KernelSettings
from hamlearn.kernels import (
    EnvironmentKernel,
    Environments,
    PairKernel,
    TriangleKernel,
    best_match_kernel,
    rematch_kernel,
)
from hamlearn.kernels.messages import message_sums
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

CLUSTERS: dict[str, type[PairKernel] | type[TriangleKernel]] = {"pair": PairKernel, "triangle": TriangleKernel}


def make_kernel(settings: KernelSettings, memory_gb: float) -> EnvironmentKernel:
    """Return the kernel of some settings, not fitted."""
    return kernel_class(settings)(settings, memory_gb)


def kernel_class(settings: KernelSettings) -> type[EnvironmentKernel]:
    """Return the class of the kernel of some settings."""
    return StructureKernel if is_of_structures(settings) else EnvironmentKernel


def is_of_structures(settings: KernelSettings) -> bool:
    """Whether a kernel compares whole structures, so that it has no sum over single environments to be sparse in."""
    return settings.structure != "sum" or settings.message_nu is not None or bool(settings.additive)


@dataclass(frozen=True)
class Molecules(Environments):
    """Environments with the structures they are of."""

    structures: Sequence[Atoms] = ()


@dataclass
class StructureKernel(EnvironmentKernel):
    """Kernels of structures K(A, B), in parts: those of environments put together, then pairs, then triangles.

    Environments are summed, averaged or matched, part by part; with messages the part of order nu is
    [nu - 1 <- message_nu]. Invariant, see the kernels for what each of them is; a best match, and REMatch for small
    gamma, need not be positive semi-definite.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), section II F; messages: Nigam,
    Pozdnyakov, Fraux, Ceriotti, J. Chem. Phys. 156, 204115 (2022).
    """

    @property
    def differentiable(self) -> bool:
        """Whether gradients with respect to positions are offered."""
        return super().differentiable and self.settings.structure == "sum" and self.settings.message_nu is None

    @cached_property
    def additive(self) -> list[PairKernel | TriangleKernel]:
        """Kernels of pairs and triangles, as listed."""
        s = self.settings
        return [
            CLUSTERS[name](s.cutoff_angstrom, s.additive_width_angstrom, s.cutoff_width_angstrom) for name in s.additive
        ]

    def environments(self, structures: Sequence[Atoms], gradients: bool = False) -> Molecules:
        """Return the environments of all atoms of structures."""
        env = super().environments(structures, gradients)
        return Molecules(**{f.name: getattr(env, f.name) for f in fields(env)}, structures=structures)

    def uncontracted(self) -> StructureKernel:
        """Return the kernel on all that densities hold."""
        out = StructureKernel(self.settings, self.memory_gb)
        out.expansion_ = self.expansion_.uncontracted()
        return out

    def between(self, a: Environments, b: Environments) -> FloatArray:
        """Return K(A, B) of every part [n_parts + n_additive, A, B]."""
        left, right = _structures(a), _structures(b)
        clusters = [kernel.values(left, right)[None] for kernel in self.additive]
        return np.concatenate([self._of_environments(a, b), *clusters])

    def energies_and_gradients(
        self,
        a: Environments,
        basis: Environments,
        coefficients: Mapping[int, Tensor],
        directions: Mapping[int, Tensor] | None,
        weights: Sequence[float],
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return predicted energies and gradients, those of pairs and triangles added."""
        own = weights[: self.n_parts]
        energies, gradients = super().energies_and_gradients(a, basis, coefficients, directions, own)
        x = np.zeros(basis.n_structures)
        for z, structure in basis.structure.items():
            x[structure] = coefficients[z].numpy()  # of its structure
        for kernel, weight in zip(self.additive, weights[self.n_parts :], strict=True):
            both = _structures(a), _structures(basis)
            energies = energies + weight * kernel.values(*both) @ x
            if gradients is not None:
                gradients = gradients + weight * (kernel.gradients(*both) @ x).reshape(-1, 3)
        return energies, gradients

    def _of_environments(self, a: Environments, b: Environments) -> FloatArray:
        settings = self.settings
        if settings.structure in ("best_match", "rematch"):
            return self._matched(a, b)
        if settings.message_nu is None:
            parts = super().between(a, b)
        else:
            left = _structures(a)
            right = left if a is b else _structures(b)
            self._check_memory(self.n_parts * len(left) * len(right))
            parts = message_sums(self.expansion_, settings, left, right, self.memory_gb)
        if settings.structure == "average":
            n_a, n_b = (np.array([len(atoms) for atoms in _structures(env)]) for env in (a, b))
            return parts / (n_a[:, None] * n_b)
        return parts

    def _matched(self, a: Environments, b: Environments) -> FloatArray:
        """Return the best or the regularised match of the environments, part by part [n_parts, A, B]."""
        self._check_memory(self.n_parts * a.n_atoms * b.n_atoms)
        pairs = torch.zeros((self.n_parts, a.n_atoms, b.n_atoms), dtype=torch.float64)  # 0 between elements
        for z, parts in self.environment_matrix(a, b).items():
            pairs[:, torch.from_numpy(a.atom[z])[:, None], torch.from_numpy(b.atom[z])] = torch.from_numpy(parts)
        rows, columns = _owner(a), _owner(b)
        rematch = partial(rematch_kernel, gamma=self.settings.gamma)
        match = rematch if self.settings.structure == "rematch" else best_match_kernel
        matched = np.stack([match(part, rows, columns).numpy() for part in pairs])
        return 0.5 * (matched + matched.transpose(0, 2, 1)) if a is b else matched


def _structures(env: Environments) -> Sequence[Atoms]:
    return env.structures if isinstance(env, Molecules) else ()


def _owner(env: Environments) -> Tensor:
    """Return the structure of every atom [atom]."""
    return torch.repeat_interleave(torch.tensor([len(atoms) for atoms in _structures(env)]))
