"""Densities of the ends of bonds in the frames of the bonds, contracted to the variables that carry a training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.bond_frame import bond_frames, rotations_of
from hamlearn.config import BondFrameFeatures
from hamlearn.density import DensityExpansion
from hamlearn.density.cutoff import shifted_cosine
from hamlearn.density.radial import RadialFunctions, radial_functions
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Pairs, Samples
from hamlearn.types import FloatArray, IntArray

RELATIVE_VARIANCE = 1e-5
"""Components that carry less of the total variance are dropped."""

ROUNDING = 1e-12
"""Variances below this fraction of the mean square are those of variables that never change."""

DISTANCE_SHARE = 0.2
"""Mean squared norm of the functions of the distance, before they are centred; that of each density is 1."""


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
        ends: densities of the ends, by m those of l = m ... max_l side by side: components +m and -m as real and
            imaginary part [2, row, raw]; m = 0 has no imaginary part [1, row, raw].
        distance: functions of the distance [row, function].
        n_channels: of the densities.
    """

    pairs: Pairs
    sample: IntArray
    weight: Tensor
    rotations: list[Tensor]
    ends: list[list[Tensor]]
    distance: Tensor
    n_channels: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.pairs)

    def raw(self, m: int) -> Tensor:
        """Return all raw variables of an m, those of distance last [2 or 1, row, raw]."""
        parts = [end[m] for end in self.ends]
        return torch.cat(parts if m else [*parts, self.distance[None]], dim=2)


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
        settings: BondFrameFeatures,
        functions: tuple[DensityExpansion, RadialFunctions],
        samples: Samples,
        kinds: Sequence[Bonds],
        max_L: int,
    ) -> None:
        expansion, of_distance = functions
        self.samples = samples
        self.kept_of: Bonds | None = None
        self.kept: dict[bool, dict[tuple[int, int], Tensor]] = {}
        reach = {kind: settings.reach(kind) for kind in ("pair", "site")}
        rows = _AllRows.of(samples, tuple(kinds), reach)
        vectors = samples.vectors(rows.pairs)
        distances = torch.linalg.norm(vectors, dim=1)
        rotations = rotations_of(bond_frames(vectors), max(settings.max_l, max_L))
        density = _side_by_side(expansion.densities(samples), samples)
        ends = [
            _by_charge(_turned(rotations, density[torch.from_numpy(atoms)], settings.max_l), settings.max_l)
            for atoms in (rows.pairs.i, rows.pairs.j)
        ]
        functions_of_distance = of_distance(distances)[:, 0]
        weights = {kind: shifted_cosine(distances, *reach[kind]) for kind in reach}
        self.rows: dict[Bonds, BondRows] = {}
        for kind, own in rows.places.items():
            self.rows[kind] = BondRows(
                Pairs(rows.pairs.i[own], rows.pairs.j[own], rows.pairs.shift[own]),
                rows.sample[own],
                weights[kind.kind][own],
                [d[own] for d in rotations],
                [[x[:, own] for x in end] for end in ends[: kind.n_ends]],
                functions_of_distance[own],
                density.shape[2],
            )


@dataclass
class BondContraction:
    """Principal components of the raw variables of one kind of bonds, of every |m| by itself.

    Those of m = 0 are centred. All are divided by the root of their total variance and by a length, complex ones also
    by 2^(1/2), so that their squares add up to those of all real and imaginary parts.

    Attributes:
        mean: of the raw variables of m = 0.
        vectors: by m [raw, component].
        variances: of all components, m ascending [variable].
        n_channels: of the densities.
    """

    mean: Tensor
    vectors: list[Tensor]
    variances: FloatArray
    n_channels: int

    @cached_property
    def _of_ends(self) -> dict[bool, list[list[Tensor]]]:
        """The vectors of the density of each end, by m, transposed: as they are, and for rows seen from the other."""
        as_they_are, exchanged = [], []
        for m, v in enumerate(self.vectors):
            n_l = len(self.vectors) - m
            n = n_l * self.n_channels
            as_they_are.append([v[:n].T, v[n : 2 * n].T])
            turned = exchange(v, n_l, self.n_channels) if len(v) >= 2 * n else v
            exchanged.append([turned[:n].T, turned[n : 2 * n].T])
        return {False: as_they_are, True: exchanged}

    @cached_property
    def _shift(self) -> Tensor:
        """What the mean is in the components of m = 0 [component, 1]."""
        return (self.mean @ self.vectors[0])[:, None]

    @property
    def charges(self) -> IntArray:
        """M of every variable."""
        return np.repeat(np.arange(len(self.vectors)), [v.shape[1] for v in self.vectors])

    def components(self, rows: BondRows, exchanged: bool = False) -> Tensor:
        """Return real parts of all variables, then imaginary parts of those with a charge [part, row].

        Args:
            rows: of this kind.
            exchanged: seen from j: ends exchanged, and the third axis of the frame mirrored.
        """
        like = rows.distance
        n = self.vectors[0].shape[0] - like.shape[1]
        real = [self.vectors[0][n:].to(like).T @ like.T - self._shift.to(like)]
        imaginary = []
        for m, of_ends in enumerate(self._of_ends[exchanged]):
            parts = of_ends[0].to(like) @ rows.ends[0][m].transpose(1, 2)
            for v, end in zip(of_ends[1:], rows.ends[1:], strict=False):  # sites have one end
                parts = parts + v.to(like) @ end[m].transpose(1, 2)
            if m:
                real.append(parts[0])
                imaginary.append(parts[1])
            else:
                real[0] = real[0] + parts[0]
        return torch.cat([*real, *imaginary])

    def state(self) -> dict[str, Tensor]:
        """Return everything by name."""
        named = {f"vectors.{m}": v for m, v in enumerate(self.vectors)}
        numbers = {"variances": torch.from_numpy(self.variances), "n_channels": torch.tensor(self.n_channels)}
        return named | numbers | {"mean": self.mean}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> BondContraction:
        """Return the contraction whose :meth:`state` this is."""
        vectors = [state[f"vectors.{m}"] for m in range(len(state) - 3)]
        return cls(state["mean"], vectors, state["variances"].numpy(), int(state["n_channels"]))


class Moments:
    """First and second moments of raw variables, gathered tile by tile.

    Args:
        kind: of bonds; rows of like pairs count as they are and exchanged.
    """

    def __init__(self, kind: Bonds) -> None:
        self._is_like, self._is_pair = kind.is_like, kind.n_ends == 2
        self.n_rows, self._n_channels = 0, 0
        self._mean: Tensor | float = 0.0
        self._squares: list[Tensor] = []

    def add(self, rows: BondRows) -> None:
        """Take in the rows of a tile."""
        if not len(rows):
            return
        self.n_rows += len(rows)
        self._n_channels = rows.n_channels
        every = [rows.raw(m).flatten(0, 1) for m in range(len(rows.ends[0]))]
        self._mean = self._mean + every[0].sum(dim=0)
        squares = [x.T @ x for x in every]
        self._squares = [a + b for a, b in zip(self._squares, squares, strict=True)] if self._squares else squares

    def contraction(self, length: float) -> BondContraction:
        """Return the contraction of all rows, by a length in units of the spread of all variables together."""
        n_l, q = len(self._squares), self._n_channels
        mean, squares = torch.as_tensor(self._mean) / self.n_rows, [s / self.n_rows for s in self._squares]
        if self._is_like:
            mean = (mean + exchange(mean, n_l, q)) / 2
            squares = [(s + exchange(exchange(s, n_l - m, q).T, n_l - m, q)) / 2 for m, s in enumerate(squares)]
        radial = squares[0].diagonal()[(1 + self._is_pair) * n_l * q :]
        scale = torch.ones(len(mean)).to(mean)
        scale[len(mean) - len(radial) :] = (DISTANCE_SHARE / radial.sum()) ** 0.5
        scaled = [squares[0] * torch.outer(scale, scale), *squares[1:]]
        least = ROUNDING * float(sum(s.trace() for s in scaled))
        scaled[0] = scaled[0] - torch.outer(scale * mean, scale * mean)
        values, vectors = zip(*(torch.linalg.eigh(s) for s in scaled), strict=True)
        total = max(float(sum(v.clamp(min=0).sum() for v in values)), least) or 1.0
        kept = [(v > max(RELATIVE_VARIANCE * total, least)).nonzero()[:, 0].flip(0) for v in values]
        units = [length**2 * total * (1 + (m > 0)) for m in range(n_l)]
        variances = torch.cat([v[k] / unit for v, k, unit in zip(values, kept, units, strict=True)])
        chosen = [(v[:, k] / unit**0.5).contiguous() for v, k, unit in zip(vectors, kept, units, strict=True)]
        return BondContraction(mean, [scale[:, None] * chosen[0], *chosen[1:]], variances.numpy(), q)


def exchange(x: Tensor, n_l: int, n_channels: int) -> Tensor:
    """Return raw variables seen from the other end, (-1)^(l+m) of the density there [raw, ...].

    The map is its own inverse and transpose, so that it turns vectors as well as variables.

    Args:
        x: of l = m, ..., m + n_l - 1 of either end, and others that stay as they are [raw, ...].
        n_l: how many l there are.
        n_channels: of the densities.
    """
    n = n_l * n_channels
    sign = x.new_tensor([(-1.0) ** k for k in range(n_l)]).repeat_interleave(n_channels)  # l + m = 2 m + k
    sign = sign.reshape(-1, *[1] * (x.ndim - 1))
    return torch.cat([sign * x[n : 2 * n], sign * x[:n], x[2 * n :]])


def distance_functions(settings: BondFrameFeatures) -> RadialFunctions:
    """Return the functions of the length of a bond that variables of m = 0 have beside the densities."""
    return radial_functions(settings.density().model_copy(update={"cutoff_angstrom": settings.pair_cutoff_angstrom}))


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
        places = {bonds: slice(a, b) for bonds, a, b in zip(kinds, ends[:-1], ends[1:], strict=True)}
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
            i, j = Family("plus" if kind.is_like else "cross", kind.first, kind.second).places(numbers, owner)
            found.append([i, j, np.arange(len(i)), np.full(len(i), position)])
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def _bonds_within(samples: Samples, kinds: tuple[Bonds, ...], cutoff: float) -> tuple[Pairs, IntArray, IntArray]:
    """Return pairs of the kinds "site", the position of atom i among those of its element, and of their kinds."""
    positions = {(k.first, k.second): position for position, k in enumerate(kinds) if k.kind == "site"}
    known = np.full((120, 120), -1)
    for (first, second), position in positions.items():
        known[first, second] = position
    pairs = samples.within(cutoff)
    kind = known[samples.species[pairs.i], samples.species[pairs.j]]
    pairs, kind = (pairs, kind) if (kind >= 0).all() else (pairs.select(kind >= 0), kind[kind >= 0])
    return pairs, samples.row[pairs.i], kind


def _side_by_side(densities: Mapping[int, Tensor], samples: Samples) -> Tensor:
    """Return the densities of all atoms [atom, lm, q], channels that an element lacks zero."""
    q = max((d.shape[2] for d in densities.values()), default=0)
    lm = next(iter(densities.values())).shape[1] if densities else 0
    out = samples.positions.new_zeros((len(samples.species), lm, q))
    for z, density in densities.items():
        padded = torch.nn.functional.pad(density, (0, q - density.shape[2]))
        out = out.index_copy(0, torch.from_numpy(np.flatnonzero(samples.species == z)), padded)
    return out


def _turned(rotations: list[Tensor], density: Tensor, max_l: int) -> Tensor:
    """Return densities in the frames [row, lm, q]."""
    return torch.cat([rotations[l] @ density[:, l * l : (l + 1) ** 2] for l in range(max_l + 1)], dim=1)


def _by_charge(density: Tensor, max_l: int) -> list[Tensor]:
    """Return densities in the frames by m [2 or 1, row, raw]."""
    out = []
    for m in range(max_l + 1):
        places = [l * l + l + sign * m for sign in ((1, -1) if m else (1,)) for l in range(m, max_l + 1)]
        chosen = density[:, places].unflatten(1, (1 + (m > 0), -1))
        out.append(chosen.flatten(2).transpose(0, 1))
    return out
