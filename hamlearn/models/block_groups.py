"""Blocks that share features, and the answers of models of them put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import BlockCovariance, BlockKey, Blocks
from hamlearn.blocks.keys import block_keys, families
from hamlearn.structures.samples import Family

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

VANISHING = 1e-16
"""Mean square, Hartree^2, below which a block is zero by the symmetry of the molecules."""


@dataclass(frozen=True, order=True)
class Group:
    """Blocks regressed on the same features."""

    family: Family
    L: int
    sigma: int

    @property
    def has_intercept(self) -> bool:
        """Whether the mean of a block is an invariant: on-site and scalar."""
        return self.family.kind == "on_site" and (self.L, self.sigma) == (0, 1)


def group_blocks(blocks: Blocks) -> dict[Group, list[BlockKey]]:
    """Return the blocks that have samples, by the features they need."""
    out: dict[Group, list[BlockKey]] = {}
    for key in sorted(blocks.values):
        if len(blocks.samples[key.family]):
            out.setdefault(Group(key.family, key.L, key.sigma), []).append(key)
    return out


def groups_of(orbitals: Orbitals) -> list[Group]:
    """Return the groups of all blocks that molecules of these elements may have."""
    return sorted({Group(key.family, key.L, key.sigma) for key in block_keys(orbitals)})


class Answers:
    """Predicted blocks of some structures, gathered group by group and tile by tile.

    Args:
        structures: geometries.
        groups: the blocks of every group of a model.
    """

    def __init__(self, structures: Sequence[Atoms], groups: Mapping[Group, Sequence[BlockKey]]) -> None:
        self._numbers = [np.asarray(atoms.numbers, dtype=np.int64) for atoms in structures]
        self._samples = _samples(self._numbers)
        self.groups = {group: keys for group, keys in groups.items() if group.family in self._samples}
        self._tiles: dict[BlockKey, list[Tensor]] = {key: [] for keys in self.groups.values() for key in keys}
        self._covariances: list[dict[BlockKey, FloatArray]] = [{} for _ in structures]

    def rows(self, group: Group, start: int, stop: int) -> list[int]:
        """Return how many rows (sample, M) of a group every structure of a tile has."""
        owner = self._samples[group.family][:, 0]
        counts = np.bincount(owner, minlength=len(self._numbers))[start:stop]
        return ((2 * group.L + 1) * counts).tolist()

    def add(self, group: Group, values: Tensor, covariances: Sequence[Tensor] = (), start: int = 0) -> None:
        """Take in the next tile of a group.

        Args:
            group: whose blocks are given.
            values: [sample, 2L+1, block].
            covariances: of every structure of the tile [block, row, row].
            start: position of the first of them.
        """
        for column, key in enumerate(self.groups[group]):
            self._tiles[key].append(values[:, :, column])
        for structure, matrices in enumerate(covariances, start):
            if matrices.shape[1]:
                self._covariances[structure].update(zip(self.groups[group], matrices.numpy(), strict=True))

    def blocks(self) -> Blocks:
        """Return the blocks, with the samples of all families of the structures, also those without a model."""
        return Blocks(self._samples, {key: torch.cat(tiles).numpy() for key, tiles in self._tiles.items()})

    def covariances(self) -> list[BlockCovariance]:
        """Return the covariance of the blocks of every structure."""
        return [
            BlockCovariance(_samples([z]), values) for z, values in zip(self._numbers, self._covariances, strict=True)
        ]


def _samples(numbers: Sequence[IntArray]) -> dict[Family, IntArray]:
    species = sorted({int(z) for zs in numbers for z in zs})
    return {family: family.samples(numbers) for family in families(species)}
