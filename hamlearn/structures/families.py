"""Which atom or pair of atoms each row of a block or feature matrix belongs to.

Rows are ordered by structure, then first atom, then second atom, so that tables made in different rooms agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hamlearn.types import IntArray

if TYPE_CHECKING:
    from ase import Atoms

Kind = Literal["on_site", "plus", "minus", "cross"]


@dataclass(frozen=True, order=True)
class Family:
    """Atoms or pairs that share their samples and features, ``species_i <= species_j``.

    Kinds: on_site (single atoms), plus and minus (pairs of one species, even and odd under exchange), cross (pairs
    of two species). Like pairs stand once, i < j; pairs of unlike species in every combination within a structure,
    however far apart.
    """

    kind: Kind
    species_i: int
    species_j: int

    def samples(self, numbers: Sequence[IntArray]) -> IntArray:
        """Return the rows (structure, i, j) of this family [sample, 3]; (structure, i, i) for single atoms."""
        species, structure, first = laid_out(numbers)
        i, j = self.places(species, structure)
        owner = structure[i]
        return np.stack([owner, i - first[owner], j - first[owner]], axis=1)

    def count(self, numbers: IntArray) -> int:
        """Return how many samples a structure of these atomic numbers [atom] has."""
        first, second = (int(np.count_nonzero(numbers == z)) for z in (self.species_i, self.species_j))
        if self.kind == "on_site":
            return first
        return first * second if self.kind == "cross" else first * (first - 1) // 2

    def places(self, species: IntArray, structure: IntArray) -> tuple[IntArray, IntArray]:
        """Return i and j of every row, positions in the flat list of all atoms [sample].

        Args:
            species: atomic numbers [atom].
            structure: ascending [atom].
        """
        i = np.flatnonzero(species == self.species_i)
        if self.kind == "on_site":
            return i, i
        j = np.flatnonzero(species == self.species_j)
        start, stop = (np.searchsorted(structure[j], structure[i], side=side) for side in ("left", "right"))
        count = stop - start
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - start, count)
        i, j = np.repeat(i, count), j[within]
        if self.species_i == self.species_j:
            return i[i < j], j[i < j]
        return i, j


def numbers_of(structures: Sequence[Atoms]) -> list[IntArray]:
    """Return the atomic numbers of every structure [atom]."""
    return [np.asarray(atoms.numbers, dtype=np.int64) for atoms in structures]


def laid_out(numbers: Sequence[IntArray]) -> tuple[IntArray, IntArray, IntArray]:
    """Return species [atom] and structure [atom] of all atoms end to end, and every structure's first [structure]."""
    sizes = np.array([len(z) for z in numbers], dtype=np.int64)
    species = np.concatenate([np.asarray(z, dtype=np.int64) for z in numbers] or [np.zeros(0, np.int64)])
    return species, np.repeat(np.arange(len(sizes)), sizes), np.cumsum(sizes) - sizes
