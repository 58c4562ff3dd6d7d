"""Active sets of Gaussian processes in the frames of bonds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hamlearn.config.learners import ActiveBy
from hamlearn.features.bond_rows import Bonds
from hamlearn.kernels.bond_kernel import BondBasis, BondSet
from hamlearn.learning.bond_problems import PairProblem, Problem, SiteProblem
from hamlearn.learning.bond_process_fits import Training
from hamlearn.learning.bond_process_kernels import kernels, n_units, restricted
from hamlearn.learning.groups import Group
from hamlearn.regression.farthest import farthest_points
from hamlearn.structures.families import Family
from hamlearn.types import FloatArray, IntArray

TOGETHER = 64
"""Units whose kernels with themselves are made at once."""


def active_bonds(
    training: Training, problems: Sequence[Problem], counts: Mapping[Family, int], active_by: ActiveBy
) -> BondBasis:
    """Return the active bonds of every family.

    Args:
        training: all bonds.
        problems: that are fitted.
        counts: numbers of active pairs and atoms.
        active_by: those farthest from each other, or all of structures in a random order.
    """
    sets: dict[Bonds, BondSet] = {}
    numbers: dict[Bonds, int] = {}
    for metric in _metrics(problems):
        kinds, n = metric.kinds(training.kernel), counts[metric.groups[0].family]
        if not kinds:
            continue
        if active_by == "farthest":
            units = _farthest(training, metric, n)
        else:
            units = np.sort(np.argsort(training.data.order[training.owner(metric)], kind="stable")[:n])
        active = restricted(training.bonds, kinds, units)
        sets |= active.sets
        numbers |= active.counts
    return BondBasis(sets, numbers)


def _metrics(problems: Sequence[Problem]) -> list[Problem]:
    """Return a problem of scalars for every family, in whose kernel samples are close or far."""
    out: dict[Bonds | Family, Problem] = {}
    for problem in problems:
        if isinstance(problem, PairProblem):
            metric = PairProblem(problem.kind, (0, 1), int(problem.kind.is_like), problem.groups[:1])
            out.setdefault(problem.kind, metric)
        else:
            family = problem.group.family
            out.setdefault(family, SiteProblem(Group((family,), 0, 1)))
    return list(out.values())


def _farthest(training: Training, problem: Problem, n: int) -> IntArray:
    """Return the units farthest from each other in the kernel of a problem, ascending."""
    kernel, kinds = training.kernel, problem.kinds(training.kernel)
    total = n_units(kernel, problem, training.bonds)
    if n >= total:
        return np.arange(total)

    def column(unit: int) -> FloatArray:
        one = restricted(training.bonds, kinds, np.array([unit]))
        return kernels(kernel, [problem], one, training.bonds)[0][0]

    diagonal = np.concatenate([_self_kernels(training, problem, kinds, unit) for unit in range(0, total, TOGETHER)])
    return np.sort(farthest_points(column, diagonal, n))


def _self_kernels(training: Training, problem: Problem, kinds: Sequence[Bonds], start: int) -> FloatArray:
    """Return the kernels of some units with themselves."""
    total = n_units(training.kernel, problem, training.bonds)
    some = restricted(training.bonds, kinds, np.arange(start, min(start + TOGETHER, total)))
    return kernels(training.kernel, [problem], some, some)[0].diagonal()
