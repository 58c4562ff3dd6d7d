"""What is regressed together: rows of one symmetry, and the answers of learners about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.angular.elements import symbol
from hamlearn.learning.limits import refuse_beyond
from hamlearn.structures.families import Family
from hamlearn.types import FloatArray, IntArray, Irrep

VANISHING = 1e-16
"""Mean square below which data are zero by the symmetry of the molecules (Hartree^2, or squared spreads)."""


@dataclass(frozen=True, order=True)
class Group:
    """Targets that share their rows: samples of a family, (sample, M), or sums over all samples of structures.

    Attributes:
        families: one, whose samples are the rows; of sums all whose samples are added up.
        L: angular momentum.
        sigma: parity, +1 or -1.
        is_sum: rows are (structure, M), sums over the samples of all families in a structure.
    """

    families: tuple[Family, ...]
    L: int
    sigma: int
    is_sum: bool = False

    @property
    def family(self) -> Family:
        """The family whose samples are the rows."""
        return self.families[0]

    @property
    def irrep(self) -> Irrep:
        """(L, sigma)."""
        return self.L, self.sigma

    @property
    def width(self) -> int:
        """Rows of a sample, 2L + 1."""
        return 2 * self.L + 1

    @property
    def has_intercept(self) -> bool:
        """Whether the mean of a target is an invariant that is subtracted first: single atoms and scalar."""
        return self.family.kind == "on_site" and self.irrep == (0, 1) and not self.is_sum

    @property
    def name(self) -> str:
        """What the group is called in messages, such as C-H."""
        return ", ".join(family_name(family) for family in self.families)

    def n_rows(self, numbers: IntArray) -> int:
        """Return how many rows a structure of these atomic numbers has."""
        return self.width * (1 if self.is_sum else self.family.count(numbers))


def family_name(family: Family) -> str:
    """Return C for atoms, C-H for pairs."""
    first, second = symbol(family.species_i), symbol(family.species_j)
    return first if family.kind == "on_site" else f"{first}-{second}"


class Answers:
    """What a learner says of some structures, gathered group by group and tile by tile.

    Args:
        n_structures: how many.
        values: of every group [row, target], rows structure by structure, where they are known at once.
    """

    def __init__(self, n_structures: int, values: Mapping[Group, FloatArray] | None = None) -> None:
        self.covariances: list[dict[Group, FloatArray]] = [{} for _ in range(n_structures)]
        self._tiles = {group: {0: rows} for group, rows in (values or {}).items()}

    def add(self, group: Group, values: FloatArray, covariances: Sequence[FloatArray] = (), start: int = 0) -> None:
        """Take in a tile of a group; tiles may come in any order.

        Args:
            group: whose targets are given.
            values: [row, target].
            covariances: of every structure of the tile [target, row, row].
            start: position of the first structure of the tile.
        """
        self._tiles.setdefault(group, {})[start] = values
        for structure, matrices in enumerate(covariances, start):
            if matrices.shape[1]:
                self.covariances[structure][group] = matrices

    def values(self) -> dict[Group, FloatArray]:
        """Return the predicted rows of every group [row, target], structure by structure."""
        return {
            group: np.concatenate([tiles[k] for k in sorted(tiles)]) if len(tiles) > 1 else next(iter(tiles.values()))
            for group, tiles in self._tiles.items()
        }


@dataclass(frozen=True)
class HeldOut:
    """Predictions of structures of a training set by a model that has not seen them.

    Attributes:
        indices: positions of the structures in the training set [structure].
        answers: about them, with covariances.
    """

    indices: IntArray
    answers: Answers


def covariance_gigabytes(numbers: IntArray, n_targets: Mapping[Group, int]) -> float:
    """Return the memory of the covariances of a structure of these atomic numbers [atom], GB."""
    return 8e-9 * sum(n * group.n_rows(numbers) ** 2 for group, n in n_targets.items())


def check_held_out(numbers: Sequence[IntArray], n_targets: Mapping[Group, int], n_held: int, memory_gb: float) -> None:
    """Refuse to calibrate error bars on some structures left out whose covariances do not fit into memory.

    Which of these atomic numbers they will be is not known yet; the largest ones count.

    Raises:
        ConfigError: saying how much is needed.
    """
    needed = sum(sorted(covariance_gigabytes(z, n_targets) for z in numbers)[-n_held:])
    what = f"error bars are calibrated on {n_held} structures left out, whose covariances need"
    refuse_beyond(memory_gb, needed, what, "raise memory_gb, or drop model.error_bars")


def in_lots(sizes: Sequence[float], most: float, longest: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive parts, not too many, whose sizes add up to a number at most, or of one."""
    start, total = 0, 0.0
    for index, size in enumerate(sizes):
        if index > start and (total + size > most or index - start == longest):
            yield start, index
            start, total = index, 0.0
        total += size
    if len(sizes):
        yield start, len(sizes)
