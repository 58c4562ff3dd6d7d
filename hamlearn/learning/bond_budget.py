"""How much memory fits in the frames of bonds take, before anything is computed, and what fits into a tile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.config import BondFrameFeatures, RidgeSettings
from hamlearn.features.bond_frame import MOST_PRODUCTS, BondFrame
from hamlearn.features.bond_rows import Bonds
from hamlearn.learning.bond_problems import PairProblem, Problem, problems_of
from hamlearn.learning.domain import family_counts
from hamlearn.learning.groups import Group
from hamlearn.learning.left_out import FEWEST_PARTS, MOST_HELD_OUT
from hamlearn.learning.limits import refuse_beyond
from hamlearn.regression.wide import MOST_DIRECTIONS
from hamlearn.structures.families import numbers_of
from hamlearn.types import IntArray

if TYPE_CHECKING:
    from ase import Atoms

MOST_STRUCTURES = 64
"""In a tile, however large the memory: more are no faster."""

FEWEST_PRODUCTS = 500
"""What memory must hold where settings leave the number of features open."""

SQUARES = 8
"""Of the smaller of rows and features alive at the peak of a fit, beside the parts it is made of."""

ROWS = 3
"""Copies of the rows of a problem that are fitted by their kernel."""

COPIES = 6
"""Of a tile of features alive at the peak: products, exchanged ones, sums, parts, and the rows made of them."""

MOST_BONDS = 12
"""Of an atom to one element, in estimates."""


@dataclass(frozen=True)
class Parts:
    """Parts of a training set that are left out.

    Attributes:
        of_rows: how many where there are fewer rows than features.
        of_columns: how many elsewhere.
        held_out: how many are predicted while left out, part k, k + held_out, ... together; 0 for none.
    """

    of_rows: int
    of_columns: int
    held_out: int

    @classmethod
    def of(cls, n_structures: int, folds: int, held_out: bool) -> Parts:
        """Return the parts of some structures."""
        folds = min(folds, n_structures)
        n = min(folds * -(-FEWEST_PARTS // folds), n_structures)
        if not held_out:
            return cls(n, folds, 0)
        left_out = n if n_structures < MOST_HELD_OUT else folds
        return cls(n, left_out, left_out)


@dataclass(frozen=True)
class BondBudget:
    """What there is to fit into ``memory_gb``.

    Attributes:
        settings: of the learner.
        features: those of the features.
    """

    settings: RidgeSettings
    features: BondFrameFeatures

    def check(self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool) -> None:
        """Refuse a plan of features that does not fit, from the settings and the numbers of samples alone.

        Raises:
            ConfigError: naming the largest max_features that does.
        """
        given, memory_gb = self.features.max_features, self.settings.memory_gb
        needed = self._needed(structures, n_targets, held_out, given is None)
        largest = _largest(self._needed(structures, n_targets, held_out, False), given or FEWEST_PRODUCTS, memory_gb)
        what = f"model.features.max_features = {given}" if given else f"{FEWEST_PRODUCTS}, the fewest of use,"
        named = "" if given else ", with model.features.kind: bond_frame"  # which may have been left out, too
        remedy = [f"set model.features.max_features: {largest}{named}"] * (largest > 0)
        remedy += ["drop model.error_bars"] * (held_out or bool(self.settings.error_bars))
        refuse_beyond(
            memory_gb,
            needed(given or FEWEST_PRODUCTS),
            f"fits of as many features of one symmetry as {what} need",
            " or ".join(["raise memory_gb", *remedy]),
        )

    def most(
        self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool, kinds: Iterable[Bonds]
    ) -> dict[Bonds, int]:
        """Return how many products of one symmetry kinds of bonds may have, as memory holds; none if settings say."""
        if self.features.max_features is not None:
            return {}
        counts = family_counts(structures)
        needed = self._needed(structures, n_targets, held_out, is_open=True)
        found = _largest(needed, 2 * MOST_PRODUCTS, self.settings.memory_gb)
        return {kind: _usual(found, counts.get(kind.family, 0)) for kind in kinds}

    def gigabytes(
        self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool = False
    ) -> tuple[int, float]:
        """Return how many features of one symmetry there are at most, as memory holds, and the memory of their fit."""
        given = self.features.max_features
        needed = self._needed(structures, n_targets, held_out, given is None)
        most = given or _largest(needed, 2 * MOST_PRODUCTS, self.settings.memory_gb)
        return most, needed(most)

    def sizes(self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], most: int) -> list[tuple[int, int]]:
        """Return how many rows and features at most the problems have, as many products of one symmetry being kept."""
        numbers = numbers_of(structures)
        n_elements, is_open = len({int(z) for own in numbers for z in own}), self.features.max_features is None
        out = []
        for problem in problems_of(list(n_targets)):
            n = sum(_n_samples(problem.groups[0], own) for own in numbers)
            q = problem.most_features(_usual(most, n) if is_open else most, n_elements)
            out.append((problem.width * n, q))
        return out

    def _needed(
        self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool, is_open: bool
    ) -> Callable[[int], float]:
        """Return what gives the memory of a largest number of features, GB; where it is open, the usual is enough."""
        numbers = numbers_of(structures)
        n_elements = len({int(z) for own in numbers for z in own})
        problems = problems_of(list(n_targets))
        n_samples = [sum(_n_samples(problem.groups[0], own) for own in numbers) for problem in problems]
        parts = Parts.of(len(structures), self.settings.folds, held_out)
        bars = held_out or bool(self.settings.error_bars)

        def needed(most: int) -> float:
            both = [
                (problem.most_features(_usual(most, n) if is_open else most, n_elements), problem.width * n)
                for problem, n in zip(problems, n_samples, strict=True)
            ]
            kept = sum(posterior_gigabytes(q, n) for q, n in both) if bars else 0.0
            return kept + max((fit_gigabytes(q, n, parts, bars) for q, n in both), default=0.0)

        return needed

    def tiles(
        self, structures: Sequence[Atoms], frame: BondFrame, problems: Sequence[Problem], reserved: float = 0.0
    ) -> Iterator[tuple[int, int]]:
        """Yield ranges of structures whose variables, and features of some problems, fit into memory.

        Args:
            structures: geometries.
            frame: fitted.
            problems: whose features are made; none for predictions that hold no features.
            reserved: memory that something else needs, GB.
        """
        if len(structures) == 1:  # is never divided
            yield 0, 1
            return
        largest = max(numbers_of(structures), key=len, default=np.zeros(0, dtype=np.int64))
        bonds = {kind: _n_bonds(kind, largest) for kind in frame.contractions_}
        channels = max((c.n_channels for c in frame.contractions_.values()), default=0)
        of_variables = COPIES * sum(bonds.values()) * 2 * (self.features.max_l + 1) ** 2 * channels
        of_features = [0]
        for problem in problems:
            n = problem.width * _n_samples(problem.groups[0], largest) * problem.n_features(frame)
            products = [
                2 * bonds[kind] * sum(map(frame.trees_[kind].n_features, frame.trees_[kind].keys))
                for kind in problem.kinds(frame)
            ]
            turned = 0 if isinstance(problem, PairProblem) else problem.width * max(products, default=0)
            of_features.append(n + sum(products) + turned)
        most = max(self.settings.memory_gb - reserved, 0.25 * self.settings.memory_gb)
        one = 8e-9 * (of_variables + COPIES * max(of_features))
        step = max(1, min(MOST_STRUCTURES, int(most / one) if one else MOST_STRUCTURES))
        for start in range(0, len(structures), step):
            yield start, min(start + step, len(structures))


def _usual(most: int, n_samples: int) -> int:
    """Return how many products there are of so many at most: of few samples more cost little, and are of use."""
    return most if n_samples < MOST_PRODUCTS else min(most, MOST_PRODUCTS)


def _largest(needed: Callable[[int], float], most: int, memory_gb: float) -> int:
    """Return the largest number of features that fits, at most this."""
    if needed(most) <= memory_gb:
        return most
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if needed(middle) > memory_gb else (middle, high)
    return low


def fit_gigabytes(n_features: int, n_rows: int, parts: Parts, error_bars: bool) -> float:
    """Return the memory of the fit of a problem, GB."""
    q, n = n_features, n_rows
    r = min(q, n, MOST_DIRECTIONS) if error_bars else 0
    extra = 3 * r * q + 2 * r * min(n, parts.of_columns * q)
    if n <= q:
        return 8e-9 * (ROWS * n * q + SQUARES * n**2 + extra)
    return 8e-9 * ((parts.of_columns + SQUARES) * q**2 + extra)


def posterior_gigabytes(n_features: int, n_rows: int) -> float:
    """Return the memory of the directions that the posterior of a problem keeps, GB."""
    return 8e-9 * n_features * min(n_features, n_rows, MOST_DIRECTIONS)


def _n_samples(group: Group, numbers: IntArray) -> int:
    return group.n_rows(numbers) // group.width


def _n_bonds(kind: Bonds, numbers: IntArray) -> int:
    """Return how many rows a structure has at most."""
    first, second = (int((numbers == z).sum()) for z in (kind.first, kind.second))
    return first * (second if kind.kind == "pair" else min(second, MOST_BONDS))
