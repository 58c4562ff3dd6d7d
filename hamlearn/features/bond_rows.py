"""Bonds of structures, pairs and the surroundings of atoms along their bonds, with densities in the bonds' frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.bond_frame import bond_frames, rotations_of
from hamlearn.angular.elements import SYMBOLS
from hamlearn.config import BondDensity
from hamlearn.density import DensityExpansion
from hamlearn.density.cutoff import shifted_cosine
from hamlearn.density.radial import RadialFunctions
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Pairs, Samples
from hamlearn.types import IntArray


@dataclass(frozen=True, order=True)
class Bonds:
    """Rows that share their variables: pairs of two elements, or atoms of one seen along their bonds to another.

    Attributes:
        kind: "pair", each pair of atoms once, or "site".
        first: element of atom i.
        second: element of atom j, not smaller for pairs.
    """

    kind: str
    first: int
    second: int

    @property
    def is_like(self) -> bool:
        """Whether i and j may be exchanged."""
        return self.kind == "pair" and self.first == self.second

    @property
    def family(self) -> Family:
        """The family of atoms or pairs they belong to; of like pairs that which is even under exchange."""
        if self.kind == "site":
            return Family("on_site", self.first, self.first)
        return Family("plus" if self.is_like else "cross", self.first, self.second)

    @property
    def n_ends(self) -> int:
        """How many densities there are."""
        return 2 if self.kind == "pair" else 1


@dataclass(frozen=True, eq=False)
class BondRows:
    """The rows of one kind of bonds of a tile of structures.

    Attributes:
        pairs: atoms i and j of every row.
        sample: position among the pairs of the family, or of atom i among those of its element [row].
        weight: what every feature is multiplied by; falls to 0 at the cut-off [row].
        rotations: D^l of the frames [row, 2l+1, 2l+1].
        raw: by m densities of the ends, those of l = m ... max_l side by side, at m = 0 also functions of the
            distance; for m > 0 components +m of all rows, then -m: real and imaginary part [row or twice, raw].
        n_channels: of the densities.
    """

    pairs: Pairs
    sample: IntArray
    weight: Tensor
    rotations: list[Tensor]
    raw: list[Tensor]
    n_channels: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.pairs)


class BondTile:
    """All bonds of a tile of structures; densities and frames are made once for all kinds.

    Args:
        settings: cut-offs.
        functions: densities and functions of the length of a bond.
        samples: the atoms.
        kinds: of bonds that are wanted.
        max_L: largest L that frames turn.
    """

    def __init__(
        self,
        settings: BondDensity,
        functions: tuple[DensityExpansion, RadialFunctions],
        samples: Samples,
        kinds: Sequence[Bonds],
        max_L: int,
    ) -> None:
        self.samples = samples
        self.kept_of: Bonds | None = None
        self.kept: dict[bool, dict[tuple[int, int], Tensor]] = {}
        expansion, of_distance = functions
        density = _side_by_side(expansion, samples)
        reach = {kind: settings.reach(kind) for kind in ("pair", "site")}
        rows = _AllRows.of(samples, tuple(sorted(kinds)), reach)
        vectors = samples.vectors(rows.pairs)
        distances = torch.linalg.norm(vectors, dim=1)
        rotations = rotations_of(bond_frames(vectors), max(settings.max_l, max_L))
        raw = _raw_of(rows, density, of_distance(distances)[:, 0], rotations, settings.max_l)
        weights = {kind: shifted_cosine(distances, *reach[kind]) for kind in reach}
        self.rows: dict[Bonds, BondRows] = {}
        for kind, own in rows.places.items():
            self.rows[kind] = BondRows(
                Pairs(rows.pairs.i[own], rows.pairs.j[own], rows.pairs.shift[own]),
                rows.sample[own],
                weights[kind.kind][own],
                [d[own] for d in rotations],
                raw[kind],
                density.shape[2],
            )


@dataclass(frozen=True, eq=False)
class _AllRows:
    """Rows of all kinds of bonds, one kind after another.

    Attributes:
        pairs: atoms i and j.
        sample: see :class:`BondRows`.
        places: where the rows of every kind stand.
    """

    pairs: Pairs
    sample: IntArray
    places: dict[Bonds, slice]

    @classmethod
    def of(cls, samples: Samples, kinds: tuple[Bonds, ...], reach: Mapping[str, tuple[float, float]]) -> _AllRows:
        """Return the rows within the cut-offs."""
        found = [_pairs_within(samples, kinds, reach["pair"][0]), _bonds_within(samples, kinds, reach["site"][0])]
        pairs = Pairs(*(np.concatenate([getattr(p, name) for p, *_ in found]) for name in ("i", "j", "shift")))
        sample, kind = (np.concatenate([f[k] for f in found]) for k in (1, 2))
        order = np.argsort(kind, kind="stable")
        ends = np.searchsorted(kind[order], np.arange(len(kinds) + 1)).tolist()
        places = {bonds: slice(a, b) for bonds, (a, b) in zip(kinds, pairwise(ends), strict=True)}
        return cls(pairs.select(order), sample[order], places)


def _pairs_within(samples: Samples, kinds: tuple[Bonds, ...], cutoff: float) -> tuple[Pairs, IntArray, IntArray]:
    """Return pairs of the kinds "pair", which sample of its family each is, and positions of their kinds."""
    i, j, sample, kind = _all_pairs(samples.species.tobytes(), samples.structure.tobytes(), kinds)
    pairs = Pairs(i, j, np.zeros((len(i), 3), dtype=np.int64))
    near = torch.linalg.norm(samples.vectors(pairs).detach(), dim=1).cpu().numpy() < cutoff
    return (pairs, sample, kind) if near.all() else (pairs.select(near), sample[near], kind[near])


@lru_cache(maxsize=64)
def _all_pairs(species: bytes, structure: bytes, kinds: tuple[Bonds, ...]) -> tuple[IntArray, ...]:
    """Return i, j, sample and kind of all pairs; made once for molecules of one composition."""
    numbers, owner = np.frombuffer(species, dtype=np.int64), np.frombuffer(structure, dtype=np.int64)
    found = [[np.zeros(0, dtype=np.int64)] * 4]
    for position, kind in enumerate(kinds):
        if kind.kind == "pair":
            i, j = kind.family.places(numbers, owner)
            found.append([i, j, np.arange(len(i)), np.full(len(i), position)])
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _bonds_within(samples: Samples, kinds: tuple[Bonds, ...], cutoff: float) -> tuple[Pairs, IntArray, IntArray]:
    """Return pairs of the kinds "site", the position of atom i among those of its element, and of their kinds."""
    positions = {(k.first, k.second): position for position, k in enumerate(kinds) if k.kind == "site"}
    known = np.full((len(SYMBOLS), len(SYMBOLS)), -1)
    for (first, second), position in positions.items():
        known[first, second] = position
    pairs = samples.within(cutoff)
    kind = known[samples.species[pairs.i], samples.species[pairs.j]]
    pairs, kind = (pairs, kind) if (kind >= 0).all() else (pairs.select(kind >= 0), kind[kind >= 0])
    return pairs, samples.row[pairs.i], kind


def _side_by_side(expansion: DensityExpansion, samples: Samples) -> Tensor:
    """Return the densities of all atoms [atom, lm, q], as wide as the widest known; what an element lacks is zero."""
    q = max((expansion.n_channels(z) for z, _ in expansion.contraction_), default=0)
    out = samples.positions.new_zeros((len(samples.species), (expansion.settings.max_l + 1) ** 2, q))
    for z, density in expansion.densities(samples).items():
        padded = torch.nn.functional.pad(density, (0, q - density.shape[2]))
        out = out.index_copy(0, torch.from_numpy(np.flatnonzero(samples.species == z)), padded)
    return out


def _turned(rotations: list[Tensor], density: Tensor, max_l: int) -> Tensor:
    """Return densities in the frames [row, lm, q]."""
    return torch.cat([rotations[l] @ density[:, l * l : (l + 1) ** 2] for l in range(max_l + 1)], dim=1)


def _raw_of(
    rows: _AllRows, density: Tensor, distance: Tensor, rotations: list[Tensor], max_l: int
) -> dict[Bonds, list[Tensor]]:
    """Return the raw variables of all kinds of bonds; see :class:`BondRows`."""
    first_site = max([own.stop for kind, own in rows.places.items() if kind.kind == "pair"], default=0)
    out: dict[Bonds, list[Tensor]] = {}
    for kind_name, own in (("pair", slice(0, first_site)), ("site", slice(first_site, len(rows.sample)))):
        atoms = (rows.pairs.i[own], rows.pairs.j[own]) if kind_name == "pair" else (rows.pairs.i[own],)
        turns = [d[own] for d in rotations]
        ends = torch.stack([_turned(turns, density[torch.from_numpy(k)], max_l) for k in atoms], dim=1)
        places = {
            kind: slice(place.start - own.start, place.stop - own.start)
            for kind, place in rows.places.items()
            if kind.kind == kind_name
        }
        for by_kind in _raw(ends, distance[own], places, max_l):
            for kind, x in by_kind.items():
                out.setdefault(kind, []).append(x)
    return out


def _raw(ends: Tensor, distance: Tensor, kinds: Mapping[Bonds, slice], max_l: int) -> list[dict[Bonds, Tensor]]:
    """Return the raw variables of rows of as many ends, by m and kind of bonds [row or part and row, raw].

    Args:
        ends: densities of their ends in the frames [row, end, lm, q].
        distance: functions of the distance [row, function].
        kinds: where the rows of every kind stand.
        max_l: largest l of the densities.
    """
    n_rows = len(ends)
    twice = [np.r_[own.start : own.stop, n_rows + own.start : n_rows + own.stop] for own in kinds.values()]
    order = torch.from_numpy(np.concatenate([*twice, np.zeros(0, dtype=np.int64)]))
    out = []
    for m in range(max_l + 1):
        places = [l * l + l + sign * m for sign in ((1, -1) if m else (1,)) for l in range(m, max_l + 1)]
        parts = 1 + (m > 0)
        chosen = ends[:, :, places].unflatten(2, (parts, max_l + 1 - m)).permute(2, 0, 1, 3, 4)
        every = chosen.flatten(2).flatten(0, 1)  # real parts of all rows, then imaginary ones
        every = every[order] if m else torch.cat([every, distance], dim=1)
        out.append({kind: every[parts * own.start : parts * own.stop] for kind, own in kinds.items()})
    return out
