"""What memory holds of a Gaussian process in the frames of bonds: all samples as basis, or how many active ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from hamlearn.config import KernelRidgeSettings
from hamlearn.learning.active import Active, active_counts
from hamlearn.learning.bond_problems import Problem, problems_of
from hamlearn.learning.bond_process_kernels import COPIES, ENTRIES
from hamlearn.learning.data import number_of_folds
from hamlearn.learning.domain import family_counts
from hamlearn.learning.group_fits import gigabytes, held_fraction, most_columns
from hamlearn.learning.groups import Group
from hamlearn.learning.limits import refuse_beyond
from hamlearn.regression.folds import random_folds
from hamlearn.regression.full import full_gigabytes
from hamlearn.structures.families import Family

if TYPE_CHECKING:
    from ase import Atoms

MOST_ACTIVE = 2000
"""Active samples of every family of a sparse model, unless settings say otherwise or memory holds fewer."""


class ProcessBudget:
    """Sizes of the fits of some structures.

    Args:
        settings: basis, active set, folds and memory.
        structures: training geometries.
        groups: of blocks to learn.
        held_out: whether structures are predicted while they are left out, as for error bars.
    """

    def __init__(
        self, settings: KernelRidgeSettings, structures: Sequence[Atoms], groups: Sequence[Group], held_out: bool
    ) -> None:
        self.settings, self._structures = settings, structures
        self._error_bars = held_out or bool(settings.error_bars)
        self.counts = family_counts(structures)
        self._problems = problems_of([group for group in groups if group.family in self.counts])

    @cached_property
    def is_full(self) -> bool:
        """Whether all samples are the basis: where nothing else is said, if memory holds them."""
        s = self.settings
        if s.basis is not None:
            return s.basis == "full"
        if s.active is not None or s.active_by != "farthest":
            return False
        largest = max((self._of_all(problem) for problem in self._problems), default=0.0)
        return len(self._structures) < 2 or largest <= s.memory_gb

    def active_counts(self) -> dict[Family, int]:
        """Return how many samples are active: as asked for, or as memory holds, at most the usual number of each."""
        most: Active = self.settings.active
        return active_counts(self.counts, max(1, self._most_active(MOST_ACTIVE)) if most is None else most)

    def check(self) -> None:
        """Refuse what memory does not hold, and say what it does.

        Raises:
            ConfigError: naming the first problem that is too large.
        """
        memory = self.settings.memory_gb
        if self.is_full:
            for problem in self._problems:
                what = f"the kernel of {self._rows(problem)} rows ({problem.name}) needs"
                refuse_beyond(memory, self._of_all(problem), what, "raise memory_gb, or set model.basis: sparse")
            return
        active, fits = self.active_counts(), self._most_active(max(self.counts.values(), default=0))
        remedy = "raise memory_gb" + (f", or set model.active: {fits}" if fits else "")
        for problem in self._problems:
            n = problem.width * active[problem.groups[0].family]
            needed = gigabytes(n, self._n_held(problem))
            refuse_beyond(memory, needed, f"the kernel of {n} rows ({problem.name}) needs", remedy)

    def _rows(self, problem: Problem) -> int:
        return problem.width * self.counts[problem.groups[0].family]

    def _of_all(self, problem: Problem) -> float:
        """Return the memory of a fit with all samples as basis, and of the kernels of bonds that it is made of, GB."""
        n, family = self._rows(problem), problem.groups[0].family
        n_fold = problem.width * max((counts.get(family, 0) for counts in self._folds), default=0)
        return full_gigabytes(n, n_fold, self._error_bars) + 8e-9 * COPIES * min(ENTRIES, n**2)

    @cached_property
    def _folds(self) -> list[dict[Family, int]]:
        """Numbers of samples of every fold; of a single structure all, whose kernel is diagonalised."""
        n = len(self._structures)
        folds = random_folds(n, number_of_folds(n, self.settings.folds)) if n > 1 else [range(n)]
        return [family_counts([self._structures[k] for k in fold]) for fold in folds]

    def _n_held(self, problem: Problem) -> int:
        """Return about how many rows of a sparse model are left out at first."""
        fraction = held_fraction(len(self._structures), self.settings.folds)
        return problem.width * math.ceil(fraction * self.counts[problem.groups[0].family])

    def _most_active(self, most: int) -> int:
        """Return how many active samples of every family memory holds, at most so many."""
        for problem in self._problems:
            most = min(most, most_columns(self.settings.memory_gb, self._n_held(problem)) // problem.width)
        return most
