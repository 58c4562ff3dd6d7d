"""Blocks that share features, and the answers of models of them put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import BlockCovariance, BlockKey, Blocks
from hamlearn.blocks.keys import block_keys, families
from hamlearn.errors import ConfigError
from hamlearn.structures.samples import Family
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


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
    return _by_group(key for key in blocks.values if len(blocks.samples[key.family]))


def groups_of(orbitals: Orbitals) -> dict[Group, list[BlockKey]]:
    """Return all blocks that molecules of these elements may have, by the features they need."""
    return _by_group(block_keys(orbitals))


def covariance_gigabytes(numbers: IntArray, groups: Mapping[Group, Sequence[BlockKey]]) -> float:
    """Return the memory of the covariance of the blocks of one molecule, GB.

    Args:
        numbers: atomic numbers [atom].
        groups: the blocks of every group of a model.
    """
    counts = {family: len(family.samples([numbers])) for family in {group.family for group in groups}}
    return 8e-9 * sum(len(keys) * (counts[g.family] * (2 * g.L + 1)) ** 2 for g, keys in groups.items())


def check_held_out(
    structures: Sequence[Atoms], groups: Mapping[Group, Sequence[BlockKey]], n_held: int, memory_gb: float
) -> None:
    """Refuse to calibrate error bars on structures left out whose covariances do not fit into memory.

    Args:
        structures: training geometries.
        groups: the blocks of every group.
        n_held: how many are left out; the largest ones count.
        memory_gb: the bound.

    Raises:
        ConfigError: saying how much is needed.
    """
    sizes = sorted(covariance_gigabytes(np.asarray(atoms.numbers, dtype=np.int64), groups) for atoms in structures)
    needed = sum(sizes[-n_held:])
    if needed > memory_gb:
        raise ConfigError(
            f"error bars are calibrated on {n_held} structures left out, whose covariances need {needed:.2g} GB, more "
            f"than memory_gb = {memory_gb:g}; raise memory_gb, or drop model.error_bars"
        )


def in_lots(sizes: Sequence[float], most: float) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive parts whose sizes add up to at most a number, or of a single one."""
    start, total = 0, 0.0
    for index, size in enumerate(sizes):
        if index > start and total + size > most:
            yield start, index
            start, total = index, 0.0
        total += size
    if len(sizes):
        yield start, len(sizes)


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


def _by_group(keys: Iterable[BlockKey]) -> dict[Group, list[BlockKey]]:
    out: dict[Group, list[BlockKey]] = {}
    for key in sorted(keys):
        out.setdefault(Group(key.family, key.L, key.sigma), []).append(key)
    return out


def _samples(numbers: Sequence[IntArray]) -> dict[Family, IntArray]:
    species = sorted({int(z) for zs in numbers for z in zs})
    return {family: family.samples(numbers) for family in families(species)}
