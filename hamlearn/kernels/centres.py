"""Atoms and atom pairs of many structures: the samples between which kernels of matrix blocks are evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from torch import Tensor

from hamlearn.kernels.environments import Environments, range_of
from hamlearn.structures.families import Family
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
        return Bonds(*(getattr(self, column.name)[rows] for column in fields(Bonds)))

    def renumbered(self, first: IntArray, second: IntArray) -> Bonds:
        """Return the pairs with other rows of their atoms."""
        return replace(self, first=first, second=second)


@dataclass(frozen=True)
class Centres:
    """Environments by species, which of them are samples, and pairs of them.

    Attributes:
        environments: densities of the atoms.
        sites: environments that are samples of their own, rows by species, ascending.
        bonds: by species of both atoms.
        messages: by species the pairs that samples of single atoms hear of; empty without message passing.
    """

    environments: Environments
    sites: dict[int, IntArray]
    bonds: dict[SpeciesPair, Bonds]
    messages: dict[SpeciesPair, Bonds] = field(default_factory=dict)

    @property
    def densities(self) -> dict[int, Tensor]:
        """Densities by species [environment, (max_l + 1)^2, q]."""
        return self.environments.densities

    @property
    def structure(self) -> dict[int, IntArray]:
        """Structure of every environment by species, ascending [environment]."""
        return self.environments.structure

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return self.environments.n_structures

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

        densities = {z: tensors[f"centres.density.{z}"] for z in species}
        structure = {z: tensors[f"centres.structure.{z}"].numpy() for z in species}
        environments = Environments(densities, structure, int(tensors["centres.n_structures"]))
        sites = {z: tensors[f"centres.sites.{z}"].numpy() for z in species}
        return cls(environments, sites, table("bonds"), table("messages"))

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

    def ranges(self, most_atoms: int) -> list[tuple[int, int]]:
        """Return ranges of structures that hold samples, each of about ``most_atoms`` environments or one structure."""
        return self.environments.ranges(most_atoms)

    def part(self, start: int, stop: int) -> tuple[Centres, dict[Family, slice]]:
        """Return the samples of structures start ... stop - 1, still counted as here, and where they lie."""
        where: dict[Family, slice] = {}
        rows = self.environments.rows_of(start, stop)
        sites = {}
        for z in self.sites:
            family = Family("on_site", z, z)
            where[family] = range_of(self.owners(family), start, stop)
            sites[z] = self.sites[z][where[family]] - rows[z].start
        for (a, b), pairs in self.bonds.items():
            own = range_of(pairs.structure, start, stop)
            for kind in ("plus", "minus") if a == b else ("cross",):
                where[Family(kind, a, b)] = own

        def part_of(table: Mapping[SpeciesPair, Bonds]) -> dict[SpeciesPair, Bonds]:
            chosen = {pair: p.select(range_of(p.structure, start, stop)) for pair, p in table.items()}
            return {
                (a, b): p.renumbered(p.first - rows[a].start, p.second - rows[b].start) for (a, b), p in chosen.items()
            }

        return Centres(self.environments.select(rows), sites, part_of(self.bonds), part_of(self.messages)), where

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

        sites = {z: np.searchsorted(kept[z], rows) for z, rows in sites.items()}
        return Centres(self.environments.select(kept), sites, renumbered(bonds), renumbered(messages))


def joined_bonds(parts: Sequence[Bonds]) -> Bonds:
    """Return the pairs of several tables one after another."""
    return Bonds(*(np.concatenate([getattr(p, column.name) for p in parts]) for column in fields(Bonds)))
