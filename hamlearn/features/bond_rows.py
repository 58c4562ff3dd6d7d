"""Bonds of structures, pairs and the surroundings of atoms along their bonds, with densities in the bonds' frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.bond_frame import bond_frames
from hamlearn.angular.elements import SYMBOLS
from hamlearn.config import BondDensity
from hamlearn.density import DensityExpansion
from hamlearn.density.cutoff import shifted_cosine
from hamlearn.density.radial import RadialFunctions
from hamlearn.o3.bonds import Frames
from hamlearn.o3.turns import turns_of
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
        kind: of the bonds.
        own: which rows of the tile they are.
        shift: of the cells of all atoms j of the tile [row, 3].
        frames: all bonds of the tile.
    """

    kind: Bonds
    own: slice
    shift: IntArray
    frames: Frames

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.own.stop - self.own.start

    @property
    def pairs(self) -> Pairs:
        """Atoms i and j of every row."""
        return Pairs(self.frames.i[self.own], self.frames.j[self.own], self.shift[self.own])

    @property
    def sample(self) -> IntArray:
        """Position among the pairs of the family, or of atom i among those of its element [row]."""
        return self.frames.sample[self.own]

    @property
    def weight(self) -> Tensor:
        """What every feature is multiplied by; falls to 0 at the cut-off [row]."""
        return self.frames.weight[self.own]

    @cached_property
    def rotations(self) -> list[Tensor]:
        """D^l of the frames [row, 2l+1, 2l+1]."""
        return [d[self.own] for d in self.frames.rotations]

    @property
    def n_channels(self) -> int:
        """Number of channels of the densities."""
        return self.frames.density.shape[2]

    @cached_property
    def raw(self) -> list[Tensor]:
        """By m densities of the ends, those of l = m ... max_l side by side, at m = 0 also functions of the distance.

        For m > 0 components +m of all rows, then -m: real and imaginary part [row or twice, raw].
        """
        density, distance = self.frames.density, self.frames.distance[self.own]
        max_l = round(density.shape[1] ** 0.5) - 1
        seen = [density[torch.from_numpy(atom[self.own])] for atom in (self.frames.i, self.frames.j)]
        turned = torch.stack([_turned(self.rotations, x, max_l) for x in seen[: self.kind.n_ends]], dim=1)
        out = []
        for m in range(max_l + 1):
            places = [l * l + l + sign * m for sign in ((1, -1) if m else (1,)) for l in range(m, max_l + 1)]
            parts = turned[:, :, places].unflatten(2, (1 + (m > 0), -1)).permute(2, 0, 1, 3, 4)
            every = parts.flatten(2).flatten(0, 1)  # real parts of all rows, then imaginary ones
            out.append(every if m else torch.cat([every, distance], dim=1))
        return out


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
        lengths = torch.linalg.norm(vectors, dim=1)
        rotations = turns_of(bond_frames(vectors), max(settings.max_l, max_L))
        n_pairs = max([own.stop for kind, own in rows.places.items() if kind.kind == "pair"], default=0)
        parts = zip(("pair", "site"), lengths.tensor_split([n_pairs]), strict=True)
        weight = torch.cat([shifted_cosine(r, *reach[kind]) for kind, r in parts])
        distance, pairs = of_distance(lengths)[:, 0], rows.pairs
        frames = Frames(pairs.i, pairs.j, rows.sample, weight, density, rotations, distance)
        self.rows = {kind: BondRows(kind, own, pairs.shift, frames) for kind, own in rows.places.items()}


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
def _positions_of_sites(kinds: tuple[Bonds, ...]) -> IntArray:
    """Return the positions of the kinds "site" by both elements, -1 where there is none."""
    known = np.full((len(SYMBOLS), len(SYMBOLS)), -1)
    for position, kind in enumerate(kinds):
        if kind.kind == "site":
            known[kind.first, kind.second] = position
    return known


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
    pairs = samples.within(cutoff)
    kind = _positions_of_sites(kinds)[samples.species[pairs.i], samples.species[pairs.j]]
    pairs, kind = (pairs, kind) if (kind >= 0).all() else (pairs.select(kind >= 0), kind[kind >= 0])
    return pairs, samples.row[pairs.i], kind


def _side_by_side(expansion: DensityExpansion, samples: Samples) -> Tensor:
    """Return the densities of all atoms [atom, lm, q], as wide as the widest known; what an element lacks is zero."""
    q, parts = expansion.most_channels, list(expansion.densities(samples).values())
    parts = [x if x.shape[2] == q else torch.nn.functional.pad(x, (0, q - x.shape[2])) for x in parts]
    if len(parts) < 2:
        return parts[0] if parts else samples.positions.new_zeros((0, (expansion.settings.max_l + 1) ** 2, q))
    place = np.argsort(samples.species, kind="stable").argsort()  # where every atom is among those sorted by element
    return torch.cat(parts)[torch.from_numpy(place)]


def _turned(rotations: Sequence[Tensor], density: Tensor, max_l: int) -> Tensor:
    """Return densities in the frames [row, lm, q]."""
    return torch.cat([rotations[l] @ density[:, l * l : (l + 1) ** 2] for l in range(max_l + 1)], dim=1)
