"""Kernels of structures other than sums of environment kernels: matches, averages, messages, pairs and triangles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import KernelSettings
from hamlearn.kernels.body_order import PairKernel, TriangleKernel
from hamlearn.kernels.environment_kernel import EnvironmentKernel
from hamlearn.kernels.environments import TILE_SHARE, Environments
from hamlearn.kernels.message_passing import TaggedPairs, kernel_of_atoms, message_kernel
from hamlearn.kernels.structure import best_match_kernel, rematch_kernel
from hamlearn.o3.group_function import GroupFunction
from hamlearn.o3.layout import n_components
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, IntArray, Irrep

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


@dataclass(frozen=True)
class _Listeners:
    """Atoms of some structures, where they lie among all of their species, and the pairs that bring them messages."""

    densities: dict[int, Tensor]
    rows: dict[int, slice]
    pairs: TaggedPairs


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
            CLUSTERS[name](s.cutoff_angstrom, s.additive_width_angstrom or 1.0, s.cutoff_width_angstrom)
            for name in s.additive
        ]

    def environments(self, structures: Sequence[Atoms], gradients: bool = False) -> Molecules:
        """Return the environments of all atoms of structures."""
        env = super().environments(structures, gradients)
        return Molecules(**{f.name: getattr(env, f.name) for f in fields(env)}, structures=structures)

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
        if self.settings.structure in ("best_match", "rematch"):
            return self._matched(a, b)
        parts = super().between(a, b)
        if self.settings.structure == "average":
            n_a, n_b = (np.bincount(_owner(env), minlength=env.n_structures) for env in (a, b))
            return parts / (n_a[:, None] * n_b)
        return parts

    def _matched(self, a: Environments, b: Environments) -> FloatArray:
        """Return the best or the regularised match of the environments, part by part [n_parts, A, B]."""
        self._check_memory(self.n_parts * len(a) * len(b))
        pairs = torch.zeros((self.n_parts, len(a), len(b)), dtype=torch.float64)  # 0 between elements
        rows, columns = a.slices(), b.slices()
        for z, parts in self.environment_matrix(a, b).items():
            pairs[:, rows[z], columns[z]] = torch.from_numpy(parts)
        of_a, of_b = (torch.from_numpy(_owner(env)) for env in (a, b))
        rematch = partial(rematch_kernel, gamma=self.settings.gamma or 1.0)
        match = rematch if self.settings.structure == "rematch" else best_match_kernel
        matched = np.stack([match(part, of_a, of_b).numpy() for part in pairs])
        return 0.5 * (matched + matched.transpose(0, 2, 1)) if a is b else matched

    def _tiles(
        self, a: Environments, b: Environments, irrep: Irrep | None
    ) -> Iterator[tuple[int, slice, slice, Tensor]]:
        """Yield tiles as an environment kernel does; with messages all pairs of atoms of some structures at once."""
        if self.settings.message_nu is None:
            yield from super()._tiles(a, b, irrep)
            return
        self._check_settings(a, b)
        lefts = self._listeners(a)
        rights = lefts if a is b else self._listeners(b)
        for position, left in enumerate(lefts):
            for right in rights[position:] if a is b else rights:
                yield from self._heard(left, right)

    def _listeners(self, env: Environments) -> list[_Listeners]:
        """Return the atoms of structures in tiles that fit together in pairs."""
        numbers = 2.0 * n_components(self.settings.max_l) * (self.settings.max_nu + 3)
        out = []
        for start, stop in env.ranges(int(np.sqrt(TILE_SHARE * self.memory_gb / (8e-9 * numbers)))):
            rows = env.rows_of(start, stop)
            pairs = TaggedPairs.of(self.expansion_, Samples.of(_structures(env)[start:stop]))
            densities = {z: c for z, c in env.select(rows).densities.items() if len(c)}
            out.append(_Listeners(densities, rows, pairs))
        return out

    def _heard(self, left: _Listeners, right: _Listeners) -> Iterator[tuple[int, slice, slice, Tensor]]:
        """Yield the parts, order nu being k^{nu-1} times the message of the neighbours' k^message_nu, by species."""
        max_l = self.settings.max_l
        k1 = kernel_of_atoms(left.densities, right.densities, left.pairs, right.pairs, max_l)
        told = k1.power(self.settings.message_nu or 0)
        for z in sorted(left.densities.keys() & right.densities.keys()):
            i, j = left.pairs.atoms(z), right.pairs.atoms(z)
            message = message_kernel(left.pairs.around(z), right.pairs.around(z), told, self.memory_gb)
            own, heard = (replace(f, values=f.values[:, :, i[:, None], j]) for f in (k1, message))
            yield z, left.rows[z], right.rows[z], self._message_parts(own, heard)[:, None, None]

    def _message_parts(self, k1: GroupFunction, message: GroupFunction) -> Tensor:
        """Return 1 and the means of k^{nu-1} times the message, of all orders or the one order [n_parts, i, i']."""
        max_nu = self.settings.max_nu
        orders = [message.mean(), *(k.inner(message) for k in k1.powers(max_nu - 1)[: max_nu - 1])]
        own = orders if self.settings.kind == "wigner" else [orders[-1] ** self.settings.zeta]
        return torch.stack([torch.ones_like(own[0]), *own])


def _structures(env: Environments) -> Sequence[Atoms]:
    return env.structures if isinstance(env, Molecules) else ()


def _owner(env: Environments) -> IntArray:
    """Return the structure of every environment, laid end to end by species."""
    return np.concatenate([env.structure[z] for z in env.species])
