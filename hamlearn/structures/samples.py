"""Tables that say which atom or pair of atoms each row of a block or feature matrix belongs to.

Rows are ordered by structure, then first atom, then second atom, so that tables made in different rooms agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hamlearn.types import IntArray

Kind = Literal["on_site", "plus", "minus", "cross"]


@dataclass(frozen=True, order=True)
class Family:
    """Atoms or pairs that share their samples and features, ``species_i <= species_j``.

    Kinds: on_site (single atoms), plus and minus (pairs of one species, even and odd under exchange), cross (pairs
    of two species).
    """

    kind: Kind
    species_i: int
    species_j: int

    def samples(self, numbers: Sequence[IntArray]) -> IntArray:
        """Return the rows (structure, i, j) of this family [sample, 3]."""
        if self.kind == "on_site":
            return one_centre_samples(numbers, self.species_i)
        return pair_samples(numbers, self.species_i, self.species_j)


def atom_table(numbers: Sequence[IntArray]) -> IntArray:
    """Return (structure, atom, atomic number) of every atom [atom, 3]."""
    sizes = np.array([len(z) for z in numbers], dtype=np.int64)
    structure = np.repeat(np.arange(len(sizes)), sizes)
    first = np.cumsum(sizes) - sizes
    atom = np.arange(sizes.sum()) - first[structure]
    flat = np.concatenate([np.asarray(z, dtype=np.int64) for z in numbers]) if len(sizes) else np.zeros(0, np.int64)
    return np.stack([structure, atom, flat], axis=1)


def one_centre_samples(numbers: Sequence[IntArray], species: int) -> IntArray:
    """Return (structure, i, i) of every atom of one species [sample, 3]."""
    table = atom_table(numbers)
    chosen = table[table[:, 2] == species]
    return chosen[:, [0, 1, 1]]


def pair_samples(numbers: Sequence[IntArray], species_i: int, species_j: int) -> IntArray:
    """Return (structure, i, j) of every pair of atoms, i of ``species_i`` and j of ``species_j`` [sample, 3].

    Like species give every pair once, i < j; unlike ones every combination.
    """
    pairs = ordered_pairs(numbers)
    table = np.concatenate([np.asarray(z, dtype=np.int64) for z in numbers]) if len(numbers) else np.zeros(0, np.int64)
    first = first_atoms(numbers)
    z_i = table[first[pairs[:, 0]] + pairs[:, 1]]
    z_j = table[first[pairs[:, 0]] + pairs[:, 2]]
    chosen = (z_i == species_i) & (z_j == species_j)
    if species_i == species_j:
        chosen &= pairs[:, 1] < pairs[:, 2]
    return pairs[chosen]


def first_atoms(numbers: Sequence[IntArray]) -> IntArray:
    """Return the position of every structure's first atom in the concatenated list of atoms [structure]."""
    sizes = np.array([len(z) for z in numbers], dtype=np.int64)
    return np.cumsum(sizes) - sizes


def ordered_pairs(numbers: Sequence[IntArray]) -> IntArray:
    """Return (structure, i, j) of every ordered pair i != j [pair, 3]."""
    sizes = np.array([len(z) for z in numbers], dtype=np.int64)
    structure = np.repeat(np.arange(len(sizes)), sizes**2)
    start = np.cumsum(sizes**2) - sizes**2
    within = np.arange((sizes**2).sum()) - start[structure]
    i, j = np.divmod(within, np.maximum(sizes[structure], 1))
    keep = i != j
    return np.stack([structure[keep], i[keep], j[keep]], axis=1)
