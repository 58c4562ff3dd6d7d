"""Kernels between the environments of two sets of structures, and their sums over atoms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import KernelSettings
from hamlearn.density import DensityExpansion
from hamlearn.errors import ConfigError
from hamlearn.kernels.environments import Environments, added_up, joined, largest_tile, tiles
from hamlearn.kernels.gradients import derivative_between, energies_and_gradients, gradient_rows
from hamlearn.kernels.mixtures import check_same_settings
from hamlearn.kernels.parts import equivariant_parts, invariant_parts, inverse_norms, n_parts
from hamlearn.kernels.soap import self_kernel
from hamlearn.o3.layout import n_components
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, IntArray, Irrep

if TYPE_CHECKING:
    from ase import Atoms

STRUCTURES_PER_BATCH = 32
MOST_TO_FIT = 200  # structures; the channels need no more, being smooth functions of distance


@dataclass
class EnvironmentKernel:
    """Kernel of atomic environments, in parts whose weighted sum a model uses.

    Parts of a wigner mixture are the orders 0 ... max_nu; of the kinds order and soap they are order 0 and the kernel
    itself. Part 0 is 1 for atoms of one element; atoms of different elements have kernel 0.

    Args:
        settings: densities and kernel.
        memory_gb: bound on results and tiles.

    Attributes:
        expansion_: fitted densities.

    Invariant parts do not change under O(3) and translations of either structure; equivariant ones obey
    k(R i, S j) = s D^L(R) k D^L(S)^T, s = 1 for proper and sigma for improper R S.
    """

    settings: KernelSettings
    memory_gb: float = 4.0
    expansion_: DensityExpansion = field(init=False)

    def fit(self, structures: Sequence[Atoms]) -> EnvironmentKernel:
        """Find density channels and scale from training structures, of many an evenly spaced selection."""
        chosen = set(np.linspace(0, len(structures) - 1, MOST_TO_FIT).astype(int).tolist())
        if len(chosen) < len(structures):
            seen = [Samples.of([atoms]).neighbours(self.settings.cutoff_angstrom) for atoms in structures]
            known = set().union(*(seen[index] for index in chosen))
            for index, pairs in enumerate(seen):  # and all that show a pair of elements the selection has not
                if not pairs <= known:
                    chosen.add(index)
                    known |= pairs
        selection = [structures[index] for index in sorted(chosen)]
        self.expansion_ = DensityExpansion(self.settings).fit(Samples.of(s) for s in _batches(selection))
        return self

    @property
    def n_parts(self) -> int:
        """Number of parts."""
        return n_parts(self.settings)

    @property
    def differentiable(self) -> bool:
        """Whether gradients with respect to positions are offered."""
        return self.settings.kind != "soap"

    def environments(self, structures: Sequence[Atoms], gradients: bool = False) -> Environments:
        """Return the environments of all atoms of structures, with derivatives if asked for.

        Raises:
            DomainError: for elements that were not in the training set.
        """
        parts: list[Environments] = []
        for chunk in _batches(structures):
            samples = Samples.of(chunk)
            own = {z: samples.structure[samples.species == z] for z in samples.elements}
            slopes = self.expansion_.gradients(samples) if gradients else None
            densities = self.expansion_.densities(samples)
            parts.append(Environments(densities, own, len(chunk), slopes, self.settings))
        return joined(parts)

    def between(self, a: Environments, b: Environments) -> FloatArray:
        """Return sum_{i in A} sum_{j in B} k(i, j) of every part [n_parts, A, B]; half the work if ``a is b``."""
        return self._structure_sums(a, b, None)[:, 0, 0]

    def between_equivariant(self, a: Environments, b: Environments, L: int, sigma: int = 1) -> FloatArray:
        """Return sum_{ij} k^{L sigma}_{MM'}(i, j) of every part [n_parts, A, 2L+1, B, 2L+1]."""
        return self._structure_sums(a, b, (L, sigma)).transpose(0, 3, 1, 4, 2)

    def rows(self, a: Environments, active: Environments) -> FloatArray:
        """Return sum_{i in A} k(i, j) for active environments j [n_parts, A, active], j by species, then row."""
        return self._structure_sums(a, active.apart(), None)[:, 0, 0]

    def rows_equivariant(self, a: Environments, active: Environments, L: int, sigma: int = 1) -> FloatArray:
        """Return sum_{i in A} k^{L sigma}_{MM'}(i, j) for active j [n_parts, A, 2L+1, active, 2L+1]."""
        return self._structure_sums(a, active.apart(), (L, sigma)).transpose(0, 3, 1, 4, 2)

    def gradient_rows(
        self, a: Environments, active: Environments, weights: Sequence[float]
    ) -> tuple[FloatArray, FloatArray]:
        """Return a mixture summed over atoms, and its derivatives; see :mod:`hamlearn.kernels.gradients`."""
        self._check_derivatives(a, active, (a.n_structures + 3 * len(a)) * len(active))
        return gradient_rows(self.settings, a, active, weights, self.memory_gb)

    def derivative_between(self, a: Environments, b: Environments, weights: Sequence[float]) -> FloatArray:
        """Return a mixture with derivatives on both sides; see :mod:`hamlearn.kernels.gradients`."""
        self._check_derivatives(a, b, (a.n_structures + 3 * len(a)) * (b.n_structures + 3 * len(b)))
        return derivative_between(self.settings, a, b, weights, self.memory_gb)

    def energies_and_gradients(
        self,
        a: Environments,
        basis: Environments,
        coefficients: Mapping[int, Tensor],
        directions: Mapping[int, Tensor] | None,
        weights: Sequence[float],
    ) -> tuple[FloatArray, FloatArray | None]:
        """Return predicted energies and gradients; see :mod:`hamlearn.kernels.gradients`."""
        self._check_derivatives(a, basis)
        return energies_and_gradients(self.settings, a, basis, coefficients, directions, weights, self.memory_gb)

    def environment_matrix(self, a: Environments, b: Environments, irrep: Irrep | None = None) -> dict[int, FloatArray]:
        """Return k(i, j) of single environments by species [n_parts, i, j]; with an irrep [n_parts, m, m', i, j]."""
        m = 1 if irrep is None else 2 * irrep[0] + 1
        out = {z: np.empty((self.n_parts, m, m, a.count(z), b.count(z))) for z in a.species if z in b.species}
        self._check_memory(sum(x.size for x in out.values()))
        for z, rows, columns, parts in self._tiles(a, b, irrep):
            out[z][..., rows, columns] = parts
            if a is b and rows != columns:
                out[z][..., columns, rows] = parts.permute(0, 2, 1, 4, 3)
        return {z: x[:, 0, 0] for z, x in out.items()} if irrep is None else out

    def environment_diagonal(self, a: Environments) -> dict[int, FloatArray]:
        """Return the parts of k(i, i) by species [n_parts, i]."""
        out = {}
        for z, c in a.densities.items():
            norms = [(x, x) for x in inverse_norms(c, self.settings)]
            out[z] = invariant_parts(self_kernel(c, self.settings.max_l), self.settings, norms).numpy()
        return out

    def tensors(self) -> dict[str, Tensor]:
        """Return what a fitted kernel needs beside its settings, by name."""
        return {name.replace("density.", "contraction."): t for name, t in self.expansion_.state().items()}

    @classmethod
    def from_tensors(
        cls, settings: KernelSettings, memory_gb: float, tensors: Mapping[str, Tensor]
    ) -> EnvironmentKernel:
        """Return the fitted kernel whose :meth:`tensors` these are; other names are ignored."""
        out = cls(settings, memory_gb)
        state = {name.replace("contraction.", "density."): t for name, t in tensors.items()}
        out.expansion_ = DensityExpansion.from_state(settings, None, state)
        return out

    def uncontracted(self) -> EnvironmentKernel:
        """Return the kernel on all that densities hold, also what no training structure showed; slower."""
        out = type(self)(self.settings, self.memory_gb)
        out.expansion_ = self.expansion_.uncontracted()
        return out

    def _structure_sums(self, a: Environments, b: Environments, irrep: Irrep | None) -> FloatArray:
        """Return kernels summed over the atoms of both sides [n_parts, 2L+1, 2L+1, A, B]."""
        m = 1 if irrep is None else 2 * irrep[0] + 1
        shape = (self.n_parts, m, m, a.n_structures, b.n_structures)
        self._check_memory(int(np.prod(shape)))
        out = torch.zeros(shape, dtype=torch.float64)
        for z, rows, columns, parts in self._tiles(a, b, irrep):
            top, sums = _summed(parts, 3, a.structure[z][rows])
            left, sums = _summed(sums, 4, b.structure[z][columns])
            out[..., top : top + sums.shape[3], left : left + sums.shape[4]] += sums
            if a is b and rows != columns:
                turned = sums.permute(0, 2, 1, 4, 3)
                out[..., left : left + sums.shape[4], top : top + sums.shape[3]] += turned
        return out.numpy()

    def _tiles(
        self, a: Environments, b: Environments, irrep: Irrep | None
    ) -> Iterator[tuple[int, slice, slice, Tensor]]:
        """Yield species, rows, columns and parts [n_parts, 2L+1, 2L+1, rows, columns] of pairs of environments.

        Of two equal sets only the tiles on and above the diagonal. Invariants have L = 0 here.
        """
        self._check_settings(a, b)
        settings = self.settings
        left, right = ({z: inverse_norms(c, settings, irrep) for z, c in x.densities.items()} for x in (a, b))
        for z, rows, columns, k1 in tiles(a, b, settings.max_l, self.largest_tile(), upper=a is b):
            norms = [(x[rows, None], y[columns]) for x, y in zip(left[z], right[z], strict=True)]
            if irrep is None:
                yield z, rows, columns, invariant_parts(k1, settings, norms)[:, None, None]
            else:
                yield z, rows, columns, equivariant_parts(k1, settings, irrep, norms)

    def largest_tile(self) -> int:
        """Return how many pairs of environments are held at once; a pair holds every order with both parities."""
        return largest_tile(8 * n_components(self.settings.max_l) * (2 * self.settings.max_nu + 1), self.memory_gb)

    def _check_settings(self, *sides: Environments) -> None:
        """Raise ConfigError for environments whose densities another kernel made."""
        for env in sides:
            if env.settings is not None:
                check_same_settings(_of_density(env.settings), _of_density(self.settings))

    def _check_derivatives(self, a: Environments, b: Environments, n_numbers: int = 0) -> None:
        """Raise ConfigError for a kernel without derivatives, foreign environments or a result that does not fit."""
        if not self.differentiable:
            raise ConfigError(f"kernels of kind {self.settings.kind} have no derivatives here; use wigner or order")
        self._check_settings(a, b)
        self._check_memory(n_numbers)

    def _check_memory(self, n_numbers: int) -> None:
        """Raise ConfigError if a result does not fit."""
        needed = 8e-9 * n_numbers
        if needed > self.memory_gb:
            raise ConfigError(
                f"kernel matrices need {needed:.2g} GB, more than memory_gb = {self.memory_gb:g}; raise memory_gb, use "
                "fewer structures, or a sparse basis of active environments"
            )


def _of_density(settings: KernelSettings) -> dict[str, object]:
    """Return the settings that densities depend on; the others may differ between kernels of one set of densities."""
    return settings.model_dump(exclude={"kind", "max_nu", "zeta", "a", "b", "c0", "grid"})


def _batches(structures: Sequence[Atoms]) -> Iterator[Sequence[Atoms]]:
    for start in range(0, max(len(structures), 1), STRUCTURES_PER_BATCH):
        yield structures[start : start + STRUCTURES_PER_BATCH]


def _summed(x: Tensor, dim: int, label: IntArray) -> tuple[int, Tensor]:
    """Return the first label and x with the entries of equal labels added up along ``dim``; labels ascend."""
    first = int(label[0])
    return first, added_up(x, dim, label - first, int(label[-1]) - first + 1)
