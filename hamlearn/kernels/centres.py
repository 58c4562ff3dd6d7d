"""Atoms and atom pairs of many structures: the samples between which kernels of matrix blocks are evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor

from hamlearn.structures.samples import Family
from hamlearn.types import BoolArray, FloatArray, IntArray, SpeciesPair


@dataclass(frozen=True)
class Bonds:
    """Pairs of atoms of two species, first <= second; of like species every pair once.

    Attributes:
        structure: ascending [pair].
        first: row of the first atom among the environments of its species [pair].
        second: row of the second atom [pair].
        direction: unit vector from the first to the second, order y, z, x [pair, 3].
        radial: functions of the distance whose scalar product is the kernel of bonds of one l [pair, l, function].
    """

    structure: IntArray
    first: IntArray
    second: IntArray
    direction: FloatArray
    radial: FloatArray

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.structure)

    def select(self, rows: IntArray | slice) -> Bonds:
        """Return some of the pairs."""
        return Bonds(self.structure[rows], self.first[rows], self.second[rows], self.direction[rows], self.radial[rows])

    def renumbered(self, first: IntArray, second: IntArray) -> Bonds:
        """Return the pairs with other rows of their atoms."""
        return Bonds(self.structure, first, second, self.direction, self.radial)


@dataclass(frozen=True)
class Centres:
    """Environments by species, which of them are samples, and pairs of them.

    Attributes:
        densities: by species [environment, (max_l + 1)^2, q].
        structure: structure of every environment, ascending [environment].
        sites: environments that are samples of their own, rows by species, ascending.
        bonds: by species of both atoms.
        n_structures: number of structures.
        messages: by species the pairs that samples of single atoms hear of; empty without message passing.
    """

    densities: dict[int, Tensor]
    structure: dict[int, IntArray]
    sites: dict[int, IntArray]
    bonds: dict[SpeciesPair, Bonds]
    n_structures: int
    messages: dict[SpeciesPair, Bonds] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything by name, to be read by :meth:`from_tensors`."""
        out = {"centres.n_structures": torch.tensor(self.n_structures)}
        for z, density in self.densities.items():
            out[f"centres.density.{z}"] = density
            out[f"centres.structure.{z}"] = torch.from_numpy(self.structure[z])
            out[f"centres.sites.{z}"] = torch.from_numpy(self.sites[z])
        for name, table in (("bonds", self.bonds), ("messages", self.messages)):
            for (a, b), bonds in table.items():
                for part in fields(Bonds):
                    out[f"centres.{name}.{part.name}.{a}.{b}"] = torch.from_numpy(getattr(bonds, part.name))
        return out

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Centres:
        """Return the centres whose :meth:`tensors` these are; other names are ignored."""
        names = [name.split(".")[1:] for name in tensors if name.startswith("centres.")]
        species = sorted(int(name[1]) for name in names if name[0] == "density")

        def table(kind: str) -> dict[SpeciesPair, Bonds]:
            pairs = sorted({(int(name[2]), int(name[3])) for name in names if name[0] == kind})
            parts = [part.name for part in fields(Bonds)]
            return {
                (a, b): Bonds(*(tensors[f"centres.{kind}.{part}.{a}.{b}"].numpy() for part in parts)) for a, b in pairs
            }

        return cls(
            {z: tensors[f"centres.density.{z}"] for z in species},
            {z: tensors[f"centres.structure.{z}"].numpy() for z in species},
            {z: tensors[f"centres.sites.{z}"].numpy() for z in species},
            table("bonds"),
            int(tensors["centres.n_structures"]),
            table("messages"),
        )

    def count(self, family: Family) -> int:
        """Return the number of samples of a family."""
        if family.kind == "on_site":
            return len(self.sites.get(family.species_i, ()))
        bonds = self.bonds.get((family.species_i, family.species_j))
        return 0 if bonds is None else len(bonds)

    def owners(self, family: Family) -> IntArray:
        """Return the structure of every sample of a family, ascending [sample]."""
        if not self.count(family):
            return np.zeros(0, dtype=np.int64)
        if family.kind == "on_site":
            return self.structure[family.species_i][self.sites[family.species_i]]
        return self.bonds[family.species_i, family.species_j].structure

    def in_reach(self, family: Family) -> BoolArray:
        """Return which samples of a family have a kernel: all atoms, and pairs within the pair cut-off [sample]."""
        if family.kind == "on_site" or not self.count(family):
            return np.ones(self.count(family), dtype=bool)
        radial = self.bonds[family.species_i, family.species_j].radial
        return (radial != 0).reshape(len(radial), -1).any(axis=1)

    def sites_of(self, z: int, environments: IntArray) -> IntArray:
        """Return which sample each environment of one species is, -1 for those that are none."""
        sample = np.full(len(self.structure[z]), -1)
        sample[self.sites[z]] = np.arange(len(self.sites[z]))
        return sample[environments]

    def part(self, start: int, stop: int) -> tuple[Centres, dict[Family, slice]]:
        """Return the samples of structures start ... stop - 1, still counted as here, and where they lie."""
        where: dict[Family, slice] = {}
        rows = {z: _range(own, start, stop) for z, own in self.structure.items()}
        sites = {}
        for z in self.sites:
            family = Family("on_site", z, z)
            where[family] = _range(self.owners(family), start, stop)
            sites[z] = self.sites[z][where[family]] - rows[z].start
        for (a, b), pairs in self.bonds.items():
            own = _range(pairs.structure, start, stop)
            for kind in ("plus", "minus") if a == b else ("cross",):
                where[Family(kind, a, b)] = own

        def part_of(table: Mapping[SpeciesPair, Bonds]) -> dict[SpeciesPair, Bonds]:
            chosen = {pair: p.select(_range(p.structure, start, stop)) for pair, p in table.items()}
            return {
                (a, b): p.renumbered(p.first - rows[a].start, p.second - rows[b].start) for (a, b), p in chosen.items()
            }

        densities = {z: c[rows[z]] for z, c in self.densities.items()}
        structure = {z: own[rows[z]] for z, own in self.structure.items()}
        messages = part_of(self.messages)
        return Centres(densities, structure, sites, part_of(self.bonds), self.n_structures, messages), where

    def select(self, samples: Mapping[Family, IntArray]) -> Centres:
        """Return some samples of each family, such as an active set, with the environments they need.

        Args:
            samples: ascending rows by family; of like pairs those of plus stand for both. Absent families are empty.
        """
        sites = {z: r[samples.get(Family("on_site", z, z), np.zeros(0, np.int64))] for z, r in self.sites.items()}
        bonds = {}
        for (a, b), pairs in self.bonds.items():
            rows = samples.get(Family("plus" if a == b else "cross", a, b), np.zeros(0, np.int64))
            bonds[a, b] = pairs.select(rows)
        messages = {
            (a, b): p.select(np.flatnonzero(np.isin(p.first, sites[a]) | np.isin(p.second, sites[b])))
            for (a, b), p in self.messages.items()
        }
        needed = {z: [rows] for z, rows in sites.items()}
        for table in (bonds, messages):
            for (a, b), pairs in table.items():
                needed[a].append(pairs.first)
                needed[b].append(pairs.second)
        kept = {z: np.unique(np.concatenate(rows)) for z, rows in needed.items()}

        def renumbered(table: Mapping[SpeciesPair, Bonds]) -> dict[SpeciesPair, Bonds]:
            return {
                (a, b): p.renumbered(np.searchsorted(kept[a], p.first), np.searchsorted(kept[b], p.second))
                for (a, b), p in table.items()
            }

        return Centres(
            {z: self.densities[z][torch.from_numpy(rows)] for z, rows in kept.items()},
            {z: self.structure[z][rows] for z, rows in kept.items()},
            {z: np.searchsorted(kept[z], rows) for z, rows in sites.items()},
            renumbered(bonds),
            self.n_structures,
            renumbered(messages),
        )

    def ranges(self, most_atoms: int) -> list[tuple[int, int]]:
        """Return ranges of structures that hold samples, each of about ``most_atoms`` environments or one structure."""
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


def joined(parts: Sequence[Centres]) -> Centres:
    """Return the samples of several batches of structures as one set."""
    shift = np.cumsum([0, *(p.n_structures for p in parts)])
    species = sorted({z for p in parts for z in p.densities})
    first = {z: np.cumsum([0, *(len(p.structure.get(z, ())) for p in parts)]) for z in species}

    def all_of(tables: Sequence[Mapping[SpeciesPair, Bonds]]) -> dict[SpeciesPair, Bonds]:
        out = {}
        for a, b in sorted({pair for table in tables for pair in table}):
            own = [(k, table[a, b]) for k, table in enumerate(tables) if (a, b) in table]
            out[a, b] = joined_bonds(
                [
                    Bonds(x.structure + shift[k], x.first + first[a][k], x.second + first[b][k], x.direction, x.radial)
                    for k, x in own
                ]
            )
        return out

    having = {z: [(k, p) for k, p in enumerate(parts) if z in p.densities] for z in species}
    return Centres(
        {z: torch.cat([p.densities[z] for _, p in own]) for z, own in having.items()},
        {z: np.concatenate([p.structure[z] + shift[k] for k, p in own]) for z, own in having.items()},
        {z: np.concatenate([p.sites[z] + first[z][k] for k, p in own]) for z, own in having.items()},
        all_of([p.bonds for p in parts]),
        int(shift[-1]),
        all_of([p.messages for p in parts]),
    )


def joined_bonds(parts: Sequence[Bonds]) -> Bonds:
    """Return the pairs of several tables one after another."""
    return Bonds(*(np.concatenate([getattr(p, column.name) for p in parts]) for column in fields(Bonds)))


def _range(owner: IntArray, start: int, stop: int) -> slice:
    """Return where the values from start to stop - 1 lie in ascending ones."""
    a, b = np.searchsorted(owner, [start, stop])
    return slice(int(a), int(b))
