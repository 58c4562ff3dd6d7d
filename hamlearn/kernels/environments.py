"""The atoms of many structures as environments: densities by species, and which structure each belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import KernelSettings
from hamlearn.density import Gradients
from hamlearn.kernels.wigner import density_kernel
from hamlearn.o3.group_function import GroupFunction
from hamlearn.types import IntArray

LARGEST_TILE = 4096  # pairs of environments at once: what stays in the cache
TILE_SHARE = 0.05  # of memory_gb, for the largest intermediate of a tile; a few are as large


@dataclass(frozen=True)
class Environments:
    """Densities of the atoms of many structures.

    Attributes:
        densities: by species of the centre [environment, (max_l + 1)^2, q].
        structure: structure of each environment, ascending [environment].
        n_structures: number of structures, also those without an atom of some species.
        gradients: derivatives of the densities with respect to positions, where they were asked for.
        settings: of the densities; environments of different ones have no kernel in common.
    """

    densities: dict[int, Tensor]
    structure: dict[int, IntArray]
    n_structures: int
    gradients: dict[int, Gradients] | None = None
    settings: KernelSettings | None = None

    def __len__(self) -> int:
        """Return the number of environments."""
        return sum(map(len, self.densities.values()))

    @property
    def species(self) -> list[int]:
        """Species of the centres, ascending."""
        return sorted(self.densities)

    def count(self, z: int) -> int:
        """Return the number of environments of one species."""
        return len(self.densities[z]) if z in self.densities else 0

    def select(self, rows: Mapping[int, IntArray] | Mapping[int, slice]) -> Environments:
        """Return some environments of each species, such as an active set; gradients are left behind."""
        densities = {z: self.densities[z][index] for z, index in rows.items()}
        structure = {z: self.structure[z][index] for z, index in rows.items()}
        return Environments(densities, structure, self.n_structures, settings=self.settings)

    def slices(self) -> dict[int, slice]:
        """Return where the environments of each species lie when all are laid end to end by species."""
        ends = np.cumsum([0, *(self.count(z) for z in self.species)])
        return {z: slice(int(a), int(b)) for z, a, b in zip(self.species, ends[:-1], ends[1:], strict=True)}

    def apart(self) -> Environments:
        """Return the environments as structures of one atom each, by species, then row."""
        alone = {z: np.arange(own.start, own.stop) for z, own in self.slices().items()}
        return Environments(self.densities, alone, len(self), settings=self.settings)

    def rows_of(self, start: int, stop: int) -> dict[int, slice]:
        """Return where the environments of structures start ... stop - 1 lie among those of their species."""
        return {z: range_of(own, start, stop) for z, own in self.structure.items()}

    def ranges(self, most_atoms: int) -> list[tuple[int, int]]:
        """Return ranges of structures that hold all, each of about ``most_atoms`` environments or one structure."""
        count = np.zeros(self.n_structures, dtype=np.int64)
        for own in self.structure.values():
            np.add.at(count, own, 1)
        out: list[tuple[int, int]] = []
        start, used = 0, 0
        for k, n in enumerate(count.tolist()):
            if used and used + n > most_atoms:
                out.append((start, k))
                start, used = k, 0
            used += n
        return [*out, (start, self.n_structures)] if used else out


def joined(parts: Sequence[Environments]) -> Environments:
    """Return the environments of several batches of structures as one set."""
    if len(parts) == 1:
        return parts[0]
    first_structure = np.cumsum([0, *(part.n_structures for part in parts)])
    first_atom = np.cumsum([0, *map(len, parts)])
    densities, structure, gradients = {}, {}, {}
    for z in sorted({z for part in parts for z in part.species}):
        own = [k for k, part in enumerate(parts) if z in part.densities]
        densities[z] = torch.cat([parts[k].densities[z] for k in own])
        structure[z] = np.concatenate([parts[k].structure[z] + first_structure[k] for k in own])
        first_row = np.cumsum([0, *(parts[k].count(z) for k in own)])
        slopes = [(row, first_atom[k], parts[k].gradients) for k, row in zip(own, first_row, strict=False)]
        found = [(row, atom, g[z]) for row, atom, g in slopes if g is not None]
        if found:
            gradients[z] = Gradients(
                np.concatenate([g.row + row for row, _, g in found]),
                np.concatenate([g.centre + atom for _, atom, g in found]),
                np.concatenate([g.neighbour + atom for _, atom, g in found]),
                torch.cat([g.values for _, _, g in found]),
            )
    return Environments(densities, structure, int(first_structure[-1]), gradients or None, parts[0].settings)


def tiles(
    a: Environments, b: Environments, max_l: int, largest: int, upper: bool = False
) -> Iterator[tuple[int, slice, slice, GroupFunction]]:
    """Yield species, rows, columns and the kernel of order 1 [row, column] of tiles of pairs of environments.

    Args:
        a: rows.
        b: columns.
        max_l: of the kernel.
        largest: pairs of a tile, see :func:`largest_tile`.
        upper: for ``a is b``, square tiles and none below the diagonal.
    """
    for z in a.species:
        if z not in b.species:
            continue
        left, right = a.densities[z], b.densities[z]
        width = max(1, min(len(right), int(np.sqrt(largest))))
        height = width if upper else largest // width  # a few columns make tall tiles
        for start in range(0, len(left), height):
            rows = slice(start, min(start + height, len(left)))
            for first in range(start if upper else 0, len(right), width):
                columns = slice(first, min(first + width, len(right)))
                yield z, rows, columns, density_kernel(left[rows], right[columns], max_l)


def largest_tile(bytes_per_pair: int, memory_gb: float) -> int:
    """Return how many pairs of environments may be held at once."""
    return int(min(LARGEST_TILE, max(1, TILE_SHARE * 1e9 * memory_gb / bytes_per_pair)))


def added_up(x: Tensor, dim: int, label: Tensor | IntArray, n: int) -> Tensor:
    """Return x with the entries of each of n labels added up along a dimension, zero where a label has none."""
    shape = list(x.shape)
    shape[dim] = n
    return x.new_zeros(shape).index_add_(dim, torch.as_tensor(label), x)


def range_of(owner: IntArray, start: int, stop: int) -> slice:
    """Return where the values from start to stop - 1 lie in ascending ones."""
    a, b = np.searchsorted(owner, [start, stop])
    return slice(int(a), int(b))
