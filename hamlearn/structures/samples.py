"""Samples: the one table of atoms and pairs of many structures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hamlearn.structures.families import Family, laid_out
from hamlearn.types import BoolArray, FloatArray, IntArray, SpeciesPair

if TYPE_CHECKING:
    from ase import Atoms

Search: TypeAlias = Callable[[FloatArray, FloatArray, BoolArray, float], Sequence[IntArray]]

MARGIN = 1e-9
"""By which the search reaches further: what is within the cut-off is decided here, by the vectors that are used."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of atoms, ordered by structure, i, j and shift.

    Attributes:
        i: first atom, or centre, position in the flat list of atoms [pair].
        j: second atom, or neighbour [pair].
        shift: of the cell that j lies in relative to i, in cell vectors [pair, 3]; zero within a molecule.
    """

    i: IntArray
    j: IntArray
    shift: IntArray

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.i)

    def select(self, chosen: IntArray | BoolArray) -> Pairs:
        """Return some of the pairs."""
        return Pairs(self.i[chosen], self.j[chosen], self.shift[chosen])


@dataclass(frozen=True, eq=False)
class Samples:
    """Atoms of many structures end to end, and their pairs.

    Attributes:
        positions: [atom, 3], Å; whatever is computed from samples follows their dtype and device and can be
            differentiated with respect to them.
        species: atomic numbers [atom].
        structure: ascending [atom].
        first: position of every structure's first atom [structure].
        cells: vectors of the unit cells in rows [structure, 3, 3], Å; not used where not periodic.
        periodic: along which of them a structure repeats [structure, 3].
    """

    positions: Tensor
    species: IntArray
    structure: IntArray
    first: IntArray
    cells: FloatArray
    periodic: BoolArray
    _within: dict[float, Pairs] = field(default_factory=dict, repr=False)
    _neighbours: dict[float, set[SpeciesPair]] = field(default_factory=dict, repr=False)
    _of_element: dict[int, IntArray] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, structures: Sequence[Atoms]) -> Samples:
        """Lay structures end to end."""
        species, structure, first = laid_out([atoms.numbers for atoms in structures])
        n = len(structures)
        positions = np.concatenate([atoms.positions for atoms in structures] or [np.zeros((0, 3))])
        cells = np.array([atoms.cell.array for atoms in structures], dtype=np.float64).reshape(n, 3, 3)
        periodic = np.array([atoms.pbc for atoms in structures], dtype=bool).reshape(n, 3)
        tensor = torch.from_numpy(np.ascontiguousarray(positions, dtype=np.float64))
        return cls(tensor, species, structure, first, cells, periodic)

    def at(self, positions: Tensor) -> Samples:
        """Return the same atoms at other positions [atom, 3], Å, or at the same ones to differentiate by."""
        return replace(self, positions=positions, _within={}, _neighbours={})

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.first)

    @cached_property
    def elements(self) -> list[int]:
        """Atomic numbers that occur, ascending."""
        return [int(z) for z in np.unique(self.species)]

    @cached_property
    def row(self) -> IntArray:
        """Position of every atom among those of its species [atom]."""
        out = np.empty(len(self.species), dtype=np.int64)
        for z in self.elements:
            own = self.of_element(z)
            out[own] = np.arange(len(own))
        return out

    def of_element(self, z: int) -> IntArray:
        """Return the positions of the atoms of an element."""
        if z not in self._of_element:
            self._of_element[z] = np.flatnonzero(self.species == z)
        return self._of_element[z]

    def within(self, cutoff: float) -> Pairs:
        """Return every ordered pair closer than a cut-off, Å, also those of an atom with images of itself."""
        if cutoff not in self._within:
            wider = min((known for known in self._within if known > cutoff), default=None)
            self._within[cutoff] = self._search(cutoff) if wider is None else self._closer(self._within[wider], cutoff)
        return self._within[cutoff]

    def neighbours(self, cutoff: float) -> set[SpeciesPair]:
        """Return the elements (centre, neighbour) of all pairs within a cut-off, Å."""
        if cutoff not in self._neighbours:
            pairs = self.within(cutoff)
            seen = np.unique(self.species[pairs.i] << 32 | self.species[pairs.j])  # one number sorts faster than two
            self._neighbours[cutoff] = {(both >> 32, both & 0xFFFFFFFF) for both in seen.tolist()}
        return self._neighbours[cutoff]

    def family(self, family: Family) -> Pairs:
        """Return the pairs of a family, rows as in :meth:`Family.samples`, however far apart, with no shift."""
        i, j = family.places(self.species, self.structure)
        return Pairs(i, j, np.zeros((len(i), 3), dtype=np.int64))

    def vectors(self, pairs: Pairs) -> Tensor:
        """Return r_j - r_i, j in its own cell [pair, 3], Å."""
        i, j = (torch.from_numpy(x).to(self.positions.device) for x in (pairs.i, pairs.j))
        between = self.positions[j] - self.positions[i]
        if not pairs.shift.any():
            return between
        cells = np.einsum("pa,pax->px", pairs.shift, self.cells[self.structure[pairs.i]])
        return between + torch.from_numpy(cells).to(self.positions)

    def _search(self, cutoff: float) -> Pairs:
        positions = self.positions.detach().cpu().double().numpy()
        repeats = np.asarray(self.periodic.any(axis=1))
        molecules = np.flatnonzero(~repeats[self.structure])
        found = [
            _found(
                molecules,
                self._in_a_row(positions, cutoff)[molecules],
                np.zeros((3, 3)),
                np.zeros(3, dtype=bool),
                cutoff,
            )
        ]
        for k in np.flatnonzero(repeats):
            atoms = np.flatnonzero(self.structure == k)
            found.append(_found(atoms, positions[atoms], self.cells[k], self.periodic[k], cutoff))
        i, j, shift = (np.concatenate(x) for x in zip(*found, strict=True))
        order = np.lexsort((*shift.T[::-1], j, i))
        return self._closer(Pairs(i[order], j[order], shift[order]), cutoff)

    def _closer(self, pairs: Pairs, cutoff: float) -> Pairs:
        """Return those of some pairs that are closer than a cut-off."""
        distance = torch.linalg.norm(self.vectors(pairs).detach(), dim=1).cpu().numpy()
        return pairs.select(distance < cutoff)

    def _in_a_row(self, positions: FloatArray, cutoff: float) -> FloatArray:
        """Return positions with all structures out of each other's reach, so that one search finds all pairs."""
        out = positions - positions[self.first[self.structure]]
        out[:, 0] += 2 * (np.abs(out).max(initial=0.0) + cutoff) * self.structure
        return out


def _found(
    atoms: IntArray, positions: FloatArray, cell: FloatArray, periodic: BoolArray, cutoff: float
) -> tuple[IntArray, IntArray, IntArray]:
    """Return i, j and shift of all pairs of some atoms, as flat positions of theirs, and some a little further."""
    if not len(atoms):
        return atoms, atoms, np.zeros((0, 3), dtype=np.int64)
    i, j, shift = (x.astype(np.int64) for x in _neighbour_search()(positions, cell, periodic, cutoff * (1 + MARGIN)))
    return atoms[i], atoms[j], shift


@cache
def _neighbour_search() -> Search:
    """Return the search of vesin, or of ASE where vesin has no wheel."""
    try:
        import vesin  # noqa: F401
    except (ImportError, OSError):
        return _search_with_ase
    return _search_with_vesin


def _search_with_vesin(
    positions: FloatArray, cell: FloatArray, periodic: BoolArray, cutoff: float
) -> Sequence[IntArray]:
    import vesin

    return vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1).compute(positions, cell, periodic, "ijS")


def _search_with_ase(positions: FloatArray, cell: FloatArray, periodic: BoolArray, cutoff: float) -> Sequence[IntArray]:
    from ase.geometry import complete_cell
    from ase.neighborlist import primitive_neighbor_list

    return primitive_neighbor_list("ijS", periodic, complete_cell(cell), positions, cutoff)
