"""Message-passing kernels summed over the atoms of structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import KernelSettings
from hamlearn.density import Batch, GaussianExpansion
from hamlearn.kernels import GroupFunction, TaggedPairs, density_kernel, message_kernel
from hamlearn.kernels.parts import n_parts
from hamlearn.o3.layout import n_components
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

SHARE = 0.1
"""Of the memory that the kernels of a tile may take."""


def message_sums(
    expansion: GaussianExpansion,
    settings: KernelSettings,
    left: Sequence[Atoms],
    right: Sequence[Atoms],
    memory_gb: float,
) -> FloatArray:
    """Return sum_{i in A, i' in B} of the invariant part of [nu - 1 <- message_nu], nu = 0 ... [n_parts, A, B].

    The kernel of order nu is k^{nu-1} times the message of the neighbours' k^message_nu; it equals k^nu for
    message_nu = 0. Order 0 is 1 for atoms of one element. Kind order gives order 0 and its one order to the power
    zeta.

    Args:
        expansion: fitted densities.
        settings: kernel.
        left: A.
        right: B; half the work if ``right is left``.
        memory_gb: of the tiles.

    Invariant under O(3), translations and permutations.

    Source: Nigam, Pozdnyakov, Fraux, Ceriotti, J. Chem. Phys. 156, 204115 (2022), eqs. 12-18, as kernels.
    """
    out = np.zeros((n_parts(settings), len(left), len(right)))
    rows = _tiles(expansion, settings, left, memory_gb)
    columns = rows if right is left else _tiles(expansion, settings, right, memory_gb)
    for place, a in rows:
        for other, b in columns:
            if right is left and other.start < place.start:
                continue
            out[:, place, other] = _sums(a, b, settings, memory_gb)
            if right is left:
                out[:, other, place] = out[:, place, other].transpose(0, 2, 1)
    return out


@dataclass(frozen=True)
class _Atoms:
    """All atoms of some structures.

    Attributes:
        species: [atom].
        structure: [atom].
        densities: by species of the atom [atom of the species, (max_l + 1)^2, q].
        pairs: by species of the centre.
    """

    species: IntArray
    structure: IntArray
    densities: dict[int, Tensor]
    pairs: dict[int, TaggedPairs]

    def of(self, z: int) -> Tensor:
        """Return the places of the atoms of one species."""
        return torch.from_numpy(np.flatnonzero(self.species == z))


def _tiles(
    expansion: GaussianExpansion, settings: KernelSettings, structures: Sequence[Atoms], memory_gb: float
) -> list[tuple[slice, _Atoms]]:
    """Return structures in tiles that fit together in pairs."""
    numbers = 2.0 * n_components(settings.max_l) * (settings.max_nu + 3)
    atoms = np.sqrt(SHARE * memory_gb / (8e-9 * numbers))
    step = max(1, int(atoms / max(map(len, structures), default=1)))
    places = [slice(start, min(start + step, len(structures))) for start in range(0, len(structures), step)]
    return [(place, _described(expansion, structures[place])) for place in places]


def _described(expansion: GaussianExpansion, structures: Sequence[Atoms]) -> _Atoms:
    batch = Batch.from_atoms(structures)
    structure = np.repeat(np.arange(len(structures)), [len(z) for z in batch.numbers])
    return _Atoms(batch.species, structure, expansion.densities(batch), _tagged(expansion, batch))


def _tagged(expansion: GaussianExpansion, batch: Batch) -> dict[int, TaggedPairs]:
    """Return the pairs (i, j) within the cut-off by species of i, g_ij being the density of j alone around i.

    On all radial functions: channels carry whole densities, not what each neighbour adds to them.
    """
    distance = torch.linalg.norm(batch.vectors(batch.centre, batch.neighbour), dim=1).numpy()
    near = distance < expansion.settings.cutoff_angstrom
    centre, neighbour = batch.centre[near], batch.neighbour[near]
    ends = np.stack([centre, neighbour], axis=1).ravel()
    first = np.arange(0, len(ends), 2)
    alone = Batch([], batch.positions[torch.from_numpy(ends)], batch.species[ends], first, first, first + 1)
    out = {}
    for z, density in expansion.uncontracted().densities(alone).items():
        atom = np.flatnonzero(alone.species == z)
        pair, is_centre = atom // 2, atom % 2 == 0
        i, j = (torch.from_numpy(x[pair[is_centre]]) for x in (centre, neighbour))
        out[z] = TaggedPairs(torch.from_numpy(batch.species), i, j, density[torch.from_numpy(is_centre)])
    return out


def _sums(a: _Atoms, b: _Atoms, settings: KernelSettings, memory_gb: float) -> FloatArray:
    """Return the parts of all structures of two tiles [n_parts, A, B]."""
    common = sorted(set(a.densities) & set(b.densities))
    blocks = {z: density_kernel(a.densities[z], b.densities[z], settings.max_l) for z in common}
    values = torch.zeros((1, n_components(settings.max_l), len(a.species), len(b.species)), dtype=torch.float64)
    for z, block in blocks.items():
        values[:, :, a.of(z)[:, None], b.of(z)] = block.values
    told = GroupFunction(values, settings.max_l).power(settings.message_nu or 0)
    shape = (n_parts(settings), int(a.structure[-1]) + 1, int(b.structure[-1]) + 1)
    out = torch.zeros(shape, dtype=torch.float64)
    for z, k1 in blocks.items():
        parts = torch.zeros((len(out), *k1.samples), dtype=torch.float64)
        parts[0] = 1.0
        if z in a.pairs and z in b.pairs:
            heard = message_kernel(a.pairs[z], b.pairs[z], told, memory_gb)
            own = GroupFunction(heard.values[:, :, a.of(z)[:, None], b.of(z)], settings.max_l)
            parts[1:] = _orders(k1, own, settings)
        i, j = (torch.from_numpy(side.structure)[side.of(z)] for side in (a, b))
        by_row = out.new_zeros((shape[0], shape[1], len(j))).index_add_(1, i, parts)
        out.index_add_(2, j, by_row)
    return out.numpy()


def _orders(k1: GroupFunction, message: GroupFunction, settings: KernelSettings) -> Tensor:
    """Return the mean over O(3) of k^{nu-1} times the message, for all orders or the one order [order, i, i']."""
    higher = [k.inner(message) for k in k1.powers(settings.max_nu - 1)] if settings.max_nu > 1 else []
    orders = [message.mean(), *higher]
    return torch.stack(orders if settings.kind == "wigner" else [orders[-1] ** settings.zeta])
