"""What is fitted together in the frames of bonds, and how it goes back to blocks in the laboratory.

In its frame an equivariant (L, sigma) of a pair falls apart: M = 0 is even or odd under mirrors as sigma says, M > 0
is the complex number z_M = h_{+M} + i h_{-M}, times i for sigma = -1. All (L, sigma) of one |M| share their features.
Seen from the other end of a pair of like atoms an answer is the same up to the sign eta = s sigma (-1)^(L + M), s = 1
for blocks even under exchange and -1 for odd ones, which is the symmetry its features must have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.elements import symbol
from hamlearn.display import listed
from hamlearn.errors import DomainError
from hamlearn.features.bond_frame import BondFrame, BondVariables
from hamlearn.features.bond_rows import BondRows, Bonds, BondTile
from hamlearn.learning.groups import Group
from hamlearn.o3.monomials import Key
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

EXCHANGE = {"plus": 1, "minus": -1, "cross": 0}


@dataclass(frozen=True)
class PairProblem:
    """Blocks of pairs of two elements of one |M| and one symmetry under mirrors and exchange.

    Attributes:
        kind: of bonds.
        key: |M|, and the symmetry under mirrors for M = 0.
        eta: sign under exchange of the ends; 0 for unlike elements.
        groups: whose components these are, in the order of the columns.
    """

    kind: Bonds
    key: Key
    eta: int
    groups: tuple[Group, ...]

    @property
    def width(self) -> int:
        """Rows of a pair: real and imaginary part for M > 0."""
        return 2 if self.key[0] else 1

    @property
    def has_constant(self) -> bool:
        """Whether a constant has this symmetry."""
        return self.key == (0, 1) and self.eta >= 0

    @property
    def name(self) -> str:
        """What this is called in messages."""
        return f"{self.groups[0].name} (|M| = {self.key[0]})"

    def features(self, frame: BondFrame, tile: BondTile) -> Tensor:
        """Return the features of all pairs within the cut-off [pair, part, feature]."""
        rows, phi = tile.rows[self.kind], frame.products(tile, self.kind)[self.key]
        if self.eta:
            other = frame.products(tile, self.kind, exchanged=True)[self.key]
            phi = (phi + self.eta * other) * 2**-0.5
        parts = torch.stack([phi.real, phi.imag], dim=1) if self.key[0] else phi[:, None]  # [feature, part, pair]
        if self.has_constant:
            parts = torch.cat([parts.new_ones((1, *parts.shape[1:])), parts])
        return (parts * rows.weight.to(parts)).permute(2, 1, 0)

    def kinds(self, frame: BondVariables) -> list[Bonds]:
        """Return the kind of bonds, if training structures had such pairs within the cut-off."""
        return [self.kind] if self.is_seen(frame) else []

    def is_seen(self, frame: BondVariables) -> bool:
        """Return whether training structures had such pairs within the cut-off."""
        return self.kind in frame.contractions_

    def could_have_products(self, frame: BondFrame) -> bool:
        """Return whether there would be features that depend on the structure without a threshold."""
        return any(frame.has_products(kind, self.key) for kind in self.kinds(frame))

    def n_features(self, frame: BondFrame) -> int:
        """Return the number of features; none for elements that are never within the cut-off."""
        tree = frame.trees_.get(self.kind)
        return 0 if tree is None else self.has_constant + tree.n_features(self.key)

    def n_products(self, frame: BondFrame) -> int:
        """Return the number of features that depend on the structure."""
        return max(0, self.n_features(frame) - self.has_constant)

    def most_features(self, most: int, n_elements: int) -> int:
        """Return how many features there are at most of so many products, before anything is fitted."""
        return most + self.has_constant

    def samples(self, tile: BondTile) -> IntArray:
        """Return the position of every pair within the cut-off among those of the family [pair]."""
        return tile.rows[self.kind].sample

    def owner(self, tile: BondTile) -> IntArray:
        """Return the structure of every pair within the cut-off [pair]."""
        return tile.samples.structure[tile.rows[self.kind].pairs.i]

    def turns(self, tile: BondTile, group: Group) -> Tensor:
        """Return what turns components in the frames into blocks in the laboratory [pair, 2L+1, part]."""
        rows = tile.rows[self.kind]
        parts = torch.eye(self.width).to(tile.samples.positions).expand(len(rows), -1, -1)
        return turned_back(rows.rotations[group.L], parts, self.key[0], group)

    def targets(self, tile: BondTile, blocks: Mapping[Group, Tensor]) -> Tensor:
        """Return the components of blocks in the frames of all pairs within the cut-off [pair, part, target].

        Args:
            tile: of structures.
            blocks: of theirs in the laboratory, of all pairs [pair, 2L+1, target].
        """
        rows = tile.rows[self.kind]
        chosen = torch.from_numpy(rows.sample)
        return self.in_frames(rows.rotations, {group: blocks[group][chosen] for group in self.groups})

    def in_frames(self, rotations: Sequence[Tensor], blocks: Mapping[Group, Tensor]) -> Tensor:
        """Return the components of blocks [pair, 2L+1, target] in frames with these D^l [pair, part, target]."""
        turned = ((group, rotations[group.L] @ blocks[group]) for group in self.groups)
        return torch.cat([components_of(own, self.key[0], group) for group, own in turned], dim=2)


@dataclass(frozen=True)
class SiteProblem:
    """Blocks of the atoms of an element of one (L, sigma), seen along all of their bonds.

    Attributes:
        group: the blocks.
    """

    group: Group

    @property
    def width(self) -> int:
        """Rows of an atom."""
        return self.group.width

    @property
    def groups(self) -> tuple[Group, ...]:
        """The one group."""
        return (self.group,)

    @property
    def name(self) -> str:
        """What this is called in messages."""
        return f"{self.group.name} (L = {self.group.L})"

    @property
    def has_intercept(self) -> bool:
        """Whether a constant has this symmetry, which is all that there is of atoms without bonds."""
        return self.group.irrep == (0, 1)

    @property
    def keys(self) -> list[Key]:
        """Keys of the features that have components of this (L, sigma)."""
        return [(0, self.group.sigma), *((M, 0) for M in range(1, self.group.L + 1))]

    def features(self, frame: BondFrame, tile: BondTile) -> Tensor:
        """Return the features of all atoms of the element, the intercept first [atom, part, feature]."""
        z = self.group.family.species_i
        n_atoms = int((tile.samples.species == z).sum())
        out = [tile.samples.positions.new_ones((n_atoms, self.width, int(self.has_intercept)))]
        for kind in self.kinds(frame):
            rows = tile.rows[kind]
            products = frame.products(tile, kind)
            for key in self.keys:
                phi = products[key]
                if key == (0, 1):
                    phi = torch.cat([phi.new_ones((1, len(rows))), phi])
                parts = torch.stack([phi.real, phi.imag]) if key[0] else phi[None]
                lab = turned_back(rows.rotations[self.group.L], parts.permute(2, 0, 1), key[0], self.group)
                out.append(summed(lab, rows, n_atoms))
        return torch.cat(out, dim=2)

    def targets(self, tile: BondTile, blocks: Mapping[Group, Tensor]) -> Tensor:
        """Return the blocks as they are [atom, 2L+1, target]."""
        return blocks[self.group]

    def kinds(self, frame: BondVariables) -> list[Bonds]:
        """Return the kinds of bonds that the element is seen along."""
        return frame.neighbours(self.group.family.species_i)

    def could_have_products(self, frame: BondFrame) -> bool:
        """Return whether there would be features that depend on the structure without a threshold."""
        return any(frame.has_products(kind, key) for kind in self.kinds(frame) for key in self.keys)

    def is_seen(self, frame: BondVariables) -> bool:
        """Return true: atoms without bonds have blocks as well."""
        return True

    def n_features(self, frame: BondFrame) -> int:
        """Return the number of features."""
        return self.n_products(frame) + len(self.kinds(frame)) * ((0, 1) in self.keys) + self.has_intercept

    def n_products(self, frame: BondFrame) -> int:
        """Return the number of features that depend on more than the lengths of bonds."""
        return sum(frame.trees_[kind].n_features(key) for kind in self.kinds(frame) for key in self.keys)

    def most_features(self, most: int, n_elements: int) -> int:
        """Return how many features there are at most of so many products, before anything is fitted."""
        return max(most, n_elements * len(self.keys)) + n_elements + self.has_intercept

    def samples(self, tile: BondTile) -> IntArray:
        """Return the position of every atom among those of the element [atom]."""
        return np.arange(len(self.owner(tile)))

    def owner(self, tile: BondTile) -> IntArray:
        """Return the structure of every atom [atom]."""
        return tile.samples.structure[tile.samples.species == self.group.family.species_i]

    def turns(self, tile: BondTile, group: Group) -> Tensor:
        """Return the identity: blocks are in the laboratory already [atom, 2L+1, 2L+1]."""
        return torch.eye(self.width).to(tile.samples.positions).expand(len(self.owner(tile)), -1, -1)


Problem = PairProblem | SiteProblem
Alphas: TypeAlias = dict[Group, FloatArray]


def problems_of(groups: Sequence[Group]) -> list[Problem]:
    """Return what is fitted together, in the order of the groups."""
    pairs: dict[tuple[Bonds, Key, int], list[Group]] = {}
    out: list[Problem] = []
    for group in groups:
        family = group.family
        if family.kind == "on_site":
            out.append(SiteProblem(group))
            continue
        kind, exchange = Bonds("pair", family.species_i, family.species_j), EXCHANGE[family.kind]
        for M in range(group.L + 1):
            key = (M, 0) if M else (0, group.sigma)
            eta = exchange * group.sigma * (-1) ** (group.L + M)
            pairs.setdefault((kind, key, eta), []).append(group)
    return out + [PairProblem(*name, tuple(own)) for name, own in pairs.items()]


def alphas_of(problems: Sequence[Problem], alphas: Sequence[FloatArray], n_targets: Mapping[Group, int]) -> Alphas:
    """Return the regularisation of every target of every group, the largest of all |M| [target]."""
    out: Alphas = {}
    for problem, found in zip(problems, alphas, strict=True):
        ends = np.cumsum([n_targets[group] for group in problem.groups])[:-1]
        for group, own in zip(problem.groups, np.split(found, ends), strict=True):
            out[group] = np.fmax(out.get(group, own), own)
    return out


def check_reach(structures: Sequence[Atoms], problems: Sequence[Problem], frame: BondVariables) -> None:
    """Refuse pairs within the cut-off whose elements were never that close in training.

    Raises:
        DomainError: naming the structures.
    """
    unseen = {p.kind for p in problems if isinstance(p, PairProblem) and p.kind not in frame.contractions_}
    cutoff, found = frame.settings.pair_cutoff_angstrom, []
    for kind in sorted(unseen):
        for index, atoms in enumerate(structures):
            first, second = (np.flatnonzero(atoms.numbers == z) for z in (kind.first, kind.second))
            between = atoms.get_all_distances()[np.ix_(first, second)]
            if (between[between > 0] < cutoff).any():
                found.append(f"structure {index}: {symbol(kind.first)}-{symbol(kind.second)}")
    if found:
        raise DomainError(
            f"pairs closer than pair_cutoff_angstrom = {cutoff:g} Å whose elements always stood further apart in "
            f"training: {listed(found, 10, '; ')}; train on molecules that hold them"
        )


def charges_of(groups: Sequence[Group], elements: Sequence[int]) -> dict[Bonds, int]:
    """Return the largest |M| of every kind of bonds that groups of blocks need, with neighbours of some elements."""
    out: dict[Bonds, int] = {}
    for group in groups:
        family = group.family
        if family.kind == "on_site":
            kinds = [Bonds("site", family.species_i, z) for z in elements]
        else:
            kinds = [Bonds("pair", family.species_i, family.species_j)]
        out |= {kind: max(out.get(kind, 0), group.L) for kind in kinds}
    return out


def components_of(turned: Tensor, M: int, group: Group) -> Tensor:
    """Return the components +M and -M of blocks in frames as real and imaginary part [row, part, target]."""
    L = group.L
    if M == 0:
        return turned[:, L : L + 1]
    plus, minus = turned[:, L + M], turned[:, L - M]
    return torch.stack([plus, minus] if group.sigma == 1 else [-minus, plus], dim=1)


def turned_back(rotations: Tensor, parts: Tensor, M: int, group: Group) -> Tensor:
    """Return what the components +M and -M in frames are in the laboratory [row, 2L+1, ...]; see `components_of`."""
    L = group.L
    if M == 0:
        return rotations[:, L, :, None] * parts
    plus, minus = (parts[:, 0], parts[:, 1]) if group.sigma == 1 else (parts[:, 1], -parts[:, 0])
    return rotations[:, L + M, :, None] * plus[:, None] + rotations[:, L - M, :, None] * minus[:, None]


def summed(values: Tensor, rows: BondRows, n_atoms: int) -> Tensor:
    """Return the weighted sum over the bonds of every atom [atom, ...]."""
    weighted = values * rows.weight.to(values).reshape(-1, *[1] * (values.ndim - 1))
    return values.new_zeros((n_atoms, *values.shape[1:])).index_add(0, torch.from_numpy(rows.sample), weighted)
