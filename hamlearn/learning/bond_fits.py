"""Fits of all problems in the frames of bonds, lot by lot within the memory, and predictions of structures left out."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import torch

from hamlearn.errors import HamlearnWarning
from hamlearn.features.bond_frame import BondFrame
from hamlearn.job import Job
from hamlearn.learning.bond_budget import BondBudget, Parts, fit_gigabytes
from hamlearn.learning.bond_error_bars import LaboratorySums
from hamlearn.learning.bond_problems import Problem, SiteProblem, problems_of
from hamlearn.learning.data import Data
from hamlearn.learning.fitted import Fitted
from hamlearn.learning.groups import VANISHING, Answers, Group, HeldOut, in_lots
from hamlearn.learning.left_out import predictable
from hamlearn.learning.limits import costs_of_steps
from hamlearn.parallel.one_thread import one_thread
from hamlearn.progress import Progress
from hamlearn.regression.fit import Fit
from hamlearn.regression.posterior import Posterior
from hamlearn.regression.sparse import SparseProblem
from hamlearn.regression.wide import WideRidge
from hamlearn.structures.families import numbers_of
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

LOT_SHARE = 0.5
"""Of the memory that problems fitted together may take; the rest is for their features."""


class BondFits:
    """Ridge regression of every problem on the features of a frame.

    Args:
        budget: settings, and what memory holds.
        frame: fitted.
        structures: training geometries.
        data: their blocks.
        held_out: whether structures are predicted while they are left out.

    Attributes:
        seconds: time the fits took apart from their features.
    """

    def __init__(
        self, budget: BondBudget, frame: BondFrame, structures: Sequence[Atoms], data: Data, held_out: bool
    ) -> None:
        self._budget, self._frame, self._structures, self._data = budget, frame, structures, data
        self._parts = Parts.of(len(structures), budget.settings.folds, held_out)
        self._error_bars = held_out or bool(budget.settings.error_bars)
        self._part_of = data.order % self._parts.of_rows
        self._tests = [
            predictable(structures, np.flatnonzero(self._part_of % self._parts.held_out == part), data.order)
            for part in range(self._parts.held_out)
        ]
        self._left_out = [LaboratorySums(numbers_of(self._of(test)), data.n_targets) for test in self._tests]
        self.seconds, self._unreached = 0.0, list[Problem]()

    def run(self, job: Job) -> list[Fitted]:
        """Return the fits of all problems, in their order."""
        problems = problems_of(self._data.groups)
        sizes = [
            fit_gigabytes(p.n_features(self._frame), self._n_rows(p), self._parts, self._error_bars) for p in problems
        ]
        lots = list(in_lots(sizes, LOT_SHARE * self._budget.settings.memory_gb))
        counts = [(problem.n_features(self._frame), self._n_rows(problem)) for problem in problems]
        steps = [costs_of_steps(counts[a:b], len(self._structures), len(self._tests)) for a, b in lots]
        fits = []
        with job.progress("steps", [*chain(*steps)]) as progress:
            for start, stop in lots:
                fits += self._fit_lot(problems[start:stop], sum(sizes[start:stop]), progress)
        self._warn_of_unreached()
        return fits

    def held_out(self, offsets: Mapping[Group, FloatArray]) -> list[HeldOut]:
        """Return the predictions of structures left out, once all problems are fitted."""
        both = zip(self._tests, self._left_out, strict=True)
        return [HeldOut(test, sums.add_to(Answers(len(test)), offsets)) for test, sums in both]

    def _fit_lot(self, lot: Sequence[Problem], reserved: float, progress: Progress) -> list[Fitted]:
        found = {problem: self._rows(problem) for problem in lot}
        y = {g: torch.from_numpy(self._data.rows(g)).unflatten(0, (-1, g.width)) for p in lot for g in p.groups}
        owner = {group: self._data.owner[group][:: group.width] for group in y}
        for part in range(self._parts.of_rows):
            members = np.flatnonzero(self._part_of == part)
            for start, stop in self._budget.tiles(self._of(members), self._frame, lot, reserved):
                some = members[start:stop]
                tile = self._frame.tile(Samples.of(self._of(some)))
                own = {group: values[torch.from_numpy(np.isin(owner[group], some))] for group, values in y.items()}
                for problem, rows in found.items():
                    if problem.is_seen(self._frame):
                        x = problem.features(self._frame, tile).flatten(0, 1).numpy()
                        rows.add(x, problem.targets(tile, own).flatten(0, 1).numpy(), part % len(rows.parts))
                progress.advance(count=len(some))
        clock = time.perf_counter()
        ridges, fits = {}, {}
        for problem in lot:
            rows = found[problem] if self._tests else found.pop(problem)  # not needed again
            ridge = WideRidge(rows, self._budget.settings.folds)
            fits[problem] = ridge.fit(self._error_bars)
            if self._tests:
                ridges[problem] = ridge
            progress.advance()
        self.seconds += time.perf_counter() - clock
        self._unreached += [problem for problem in lot if self._misses(problem, fits[problem])]
        for left_out in range(len(self._tests)):
            clock = time.perf_counter()
            others = {
                problem: ridge.refit(self._without(found[problem], left_out), fits[problem].known)
                for problem, ridge in ridges.items()
            }
            self.seconds += time.perf_counter() - clock
            self._predict_left_out(left_out, others, reserved)
            progress.advance()
        return [
            Fitted(
                fit.weights,
                np.zeros(fit.weights.shape[1]),
                fit.alphas,
                fit.cv_mse,
                fit.posterior if self._error_bars else None,
            )
            for fit in fits.values()
        ]

    @one_thread()
    def _predict_left_out(
        self, left_out: int, others: Mapping[Problem, tuple[FloatArray, Posterior]], reserved: float
    ) -> None:
        """Add what fits without some structures say of these."""
        chosen = self._of(self._tests[left_out])
        for start, stop in self._budget.tiles(chosen, self._frame, list(others), reserved):
            tile = self._frame.tile(Samples.of(chosen[start:stop]))
            for problem, (weights, posterior) in others.items():
                self._left_out[left_out].add(self._frame, tile, start, problem, (weights, posterior))

    def _rows(self, problem: Problem) -> SparseProblem:
        """Return where the rows of a problem are gathered."""
        n_features, n_rows = problem.n_features(self._frame), self._n_rows(problem)
        n_targets = sum(self._data.n_targets[group] for group in problem.groups)
        n_parts = self._parts.of_rows if n_rows <= n_features else self._parts.of_columns
        return SparseProblem(n_features, n_targets, n_parts)

    def _without(self, rows: SparseProblem, left_out: int) -> list[int]:
        """Return the parts that are left out together."""
        return list(range(left_out, len(rows.parts), self._parts.held_out))

    def _of(self, indices: IntArray) -> list[Atoms]:
        return [self._structures[k] for k in indices]

    def _n_rows(self, problem: Problem) -> int:
        group = problem.groups[0]
        return len(self._data.owner[group]) // group.width * problem.width

    def _misses(self, problem: Problem, fit: Fit) -> bool:
        """Return whether blocks vary, but nothing that could follow them was kept."""
        missed = np.where(np.isnan(fit.cv_mse), fit.known.scales, fit.cv_mse)
        if problem.n_products(self._frame) or not missed.max(initial=0.0) > VANISHING:
            return False
        return not problem.kinds(self._frame) or problem.could_have_products(self._frame)

    def _warn_of_unreached(self) -> None:
        settings = self._budget.features
        without = [p.name for p in self._unreached if not p.kinds(self._frame) and isinstance(p, SiteProblem)]
        if without:
            _warn(
                f"{', '.join(without)}: no atom is closer than model.features.bond_cutoff_angstrom = "
                f"{settings.bond_cutoff_angstrom:g} Å; blocks are predicted as their mean (L = 0) or zero: raise it"
            )
        cut = [problem.name for problem in self._unreached if problem.kinds(self._frame)]
        if cut:
            _warn(
                f"{', '.join(dict.fromkeys(cut))}: no product of variables reaches model.features.threshold = "
                f"{settings.threshold:g}; blocks are predicted as constants in the frames of bonds: lower it"
            )


def _warn(words: str) -> None:
    warnings.warn(words, HamlearnWarning, stacklevel=5)
