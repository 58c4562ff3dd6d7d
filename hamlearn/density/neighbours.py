"""Many structures as one flat list of atoms and ordered atom pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.structures.samples import first_atoms, ordered_pairs
from hamlearn.types import IntArray

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Batch:
    """Structures laid end to end.

    Attributes:
        numbers: atomic numbers of each structure.
        positions: [atom, 3], Å.
        species: atomic numbers [atom].
        first: position of every structure's first atom [structure].
        centre: first atom of every ordered pair [pair], position in the flat list.
        neighbour: second atom of every ordered pair [pair].
    """

    numbers: list[IntArray]
    positions: Tensor
    species: IntArray
    first: IntArray
    centre: IntArray
    neighbour: IntArray

    @classmethod
    def from_atoms(cls, structures: Sequence[Atoms]) -> Batch:
        """Lay structures end to end."""
        numbers = [np.asarray(atoms.numbers, dtype=np.int64) for atoms in structures]
        positions = np.concatenate([atoms.positions for atoms in structures] or [np.zeros((0, 3))])
        first = first_atoms(numbers)
        pairs = ordered_pairs(numbers)
        return cls(
            numbers=numbers,
            positions=torch.from_numpy(np.ascontiguousarray(positions, dtype=np.float64)),
            species=np.concatenate(numbers) if numbers else np.zeros(0, np.int64),
            first=first,
            centre=first[pairs[:, 0]] + pairs[:, 1],
            neighbour=first[pairs[:, 0]] + pairs[:, 2],
        )

    def vectors(self, start: IntArray, end: IntArray) -> Tensor:
        """Return r_end - r_start [pair, 3], Å."""
        return self.positions[torch.from_numpy(end)] - self.positions[torch.from_numpy(start)]

    def flat_atoms(self, samples: IntArray, column: int) -> IntArray:
        """Return the flat position of the first (column 1) or second (column 2) atom of a samples table."""
        return self.first[samples[:, 0]] + samples[:, column]
