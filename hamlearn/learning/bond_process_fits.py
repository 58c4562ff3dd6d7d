"""Fits of Gaussian processes in the frames of bonds, and their predictions of structures left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from hamlearn.config import KernelRidgeSettings
from hamlearn.features.bond_rows import Bonds
from hamlearn.kernels.bond_kernel import BondBasis, BondKernel
from hamlearn.learning.bond_problems import PairProblem, Problem, problems_of
from hamlearn.learning.bond_process_kernels import back, kernels, n_units, restricted
from hamlearn.learning.data import Data
from hamlearn.learning.group_fits import first_held
from hamlearn.learning.groups import Answers, Group, HeldOut, in_lots
from hamlearn.regression.fit import Fit, fit_kernel, reaches
from hamlearn.regression.folds import rows_of
from hamlearn.regression.full import FullProblem
from hamlearn.regression.sparse import SparseProblem
from hamlearn.types import FloatArray, IntArray

LEAST = 1e-6
"""Relative regularisation below which fits would follow the data further than rolls, and float32, can."""

ENTRIES = 2**24
"""Kernels of data with an active set at once, 128 MB."""


@dataclass(frozen=True, eq=False)
class Training:
    """All bonds of a training set, and what is learned of them.

    Attributes:
        kernel: fitted.
        bonds: of all structures.
        data: blocks.
        settings: least number of cross-validation folds, and solver of fits on an active set.
        variance: whether to find what error bars need.
    """

    kernel: BondKernel
    bonds: BondBasis
    data: Data
    settings: KernelRidgeSettings
    variance: bool

    def owner(self, problem: Problem) -> IntArray:
        """Return the structure of every unit, pair within the cut-off or atom."""
        group = problem.groups[0]
        of_samples = self.data.owner[group][:: group.width]
        if not problem.kinds(self.kernel):
            return of_samples[:0]
        return of_samples[self.bonds.sets[problem.kind].sample] if isinstance(problem, PairProblem) else of_samples

    def targets(self, problem: Problem) -> FloatArray:
        """Return the data of every row [row, target]."""
        blocks = {g: torch.from_numpy(self.data.rows(g)).unflatten(0, (-1, g.width)) for g in problem.groups}
        if not problem.kinds(self.kernel):
            return np.zeros((0, sum(y.shape[2] for y in blocks.values())))
        if not isinstance(problem, PairProblem):
            return blocks[problem.group].flatten(0, 1).numpy()
        own = self.bonds.sets[problem.kind]
        chosen = {group: y[torch.from_numpy(own.sample)] for group, y in blocks.items()}
        return problem.in_frames(own.rotations, chosen).flatten(0, 1).numpy()

    def lots(self, problems: Sequence[Problem], gigabytes: float) -> Iterator[list[int]]:
        """Yield the positions of problems of one family whose kernels are made together, within this memory."""
        for own in families_of(problems, self.kernel):
            sizes = [8e-9 * (problems[k].width * len(self.owner(problems[k]))) ** 2 for k in own]
            for start, stop in in_lots(sizes, gigabytes):
                yield own[start:stop]

    def costs(self, problems: Sequence[Problem], is_full: bool) -> list[float]:
        """Return what the fit of each costs: by its rows, all of which are in a full basis."""
        n_rows = [float(problem.width * len(self.owner(problem))) for problem in problems]
        return [n ** (3 if is_full else 1) for n in n_rows]

    @cached_property
    def held(self) -> IntArray:
        """Return structures a sparse model leaves out at first, ascending; every family has samples there."""
        families = [self.owner(problem) for problem in problems_of(self.data.groups)]
        return first_held(self.data, self.settings.folds, families)


def families_of(problems: Sequence[Problem], kernel: BondKernel) -> list[list[int]]:
    """Return the positions of problems that share their kinds of bonds, and so the kernels of these."""
    families: dict[tuple[Bonds, ...], list[int]] = {}
    for index, problem in enumerate(problems):
        families.setdefault(tuple(problem.kinds(kernel)), []).append(index)
    return list(families.values())


def fit_full_lot(training: Training, problems: Sequence[Problem]) -> list[Fit]:
    """Fit problems of one family in the basis of all bonds."""
    found = kernels(training.kernel, problems, training.bonds, training.bonds)
    data = training.data
    members = data.folds(training.settings.folds) if data.n_structures > 1 else []
    out = []
    for problem in problems:
        k, y = found.pop(0), training.targets(problem)
        owner = np.repeat(training.owner(problem), problem.width)
        if not len(k):
            out.append(_nothing(y))
            continue
        folds = [rows for fold in members if len(rows := rows_of(owner, fold))]
        held, priors = np.arange(len(y) if folds else 0), None
        if training.variance:
            own = {int(s): np.flatnonzero(owner == s) for s in np.unique(owner)}
            priors = {s: k[np.ix_(rows, rows)] for s, rows in own.items()}
        out.append(fit_kernel(FullProblem(k, y, folds), y, held, owner, priors, width=problem.width, least=LEAST))
    return out


def fit_active_lot(training: Training, problems: Sequence[Problem]) -> list[Fit]:
    """Fit problems of one family in the basis of the kernel, some of their bonds; rows come tile by tile."""
    first, kernel = problems[0], training.kernel
    targets = [training.targets(problem) for problem in problems]
    if not n_units(kernel, first, training.bonds):
        return [_nothing(y) for y in targets]
    found = []
    for k, y in zip(kernels(kernel, problems, kernel.basis_, kernel.basis_), targets, strict=True):
        gram = (k + k.T) / 2 if reaches(k) else np.zeros_like(k)
        found.append(SparseProblem(gram, y.shape[1], solver=training.settings.solver or "qr"))
    owner = training.owner(first)
    is_held = np.isin(owner, training.held)
    for units, tile in _tiles(training, problems):
        for problem, rows, k, y in zip(problems, found, tile, targets, strict=True):
            own = y[units[0] * problem.width : (units[-1] + 1) * problem.width]
            apart = np.repeat(is_held[units], problem.width)
            rows.add(k[~apart], own[~apart])
            rows.keep(k[apart], own[apart], part=1)
    priors = _held_priors(training, problems, owner) if training.variance else [None] * len(problems)
    out = []
    for problem, rows, y, prior in zip(problems, found, targets, priors, strict=True):
        held = np.flatnonzero(np.repeat(is_held, problem.width))
        of_rows = np.repeat(owner, problem.width)
        out.append(fit_kernel(rows, y, held, of_rows, prior, width=problem.width, least=LEAST))
    return out


def _tiles(training: Training, problems: Sequence[Problem]) -> Iterator[tuple[IntArray, list[FloatArray]]]:
    """Yield units and the kernels of all problems of a family with the basis."""
    kernel, active = training.kernel, training.kernel.basis_
    kinds = problems[0].kinds(kernel)
    n = n_units(kernel, problems[0], training.bonds)
    step = max(1, ENTRIES // max(1, sum(n_units(kernel, p, active) * p.width**2 for p in problems)))
    for start in range(0, n, step):
        units = np.arange(start, min(start + step, n))
        yield units, kernels(kernel, problems, restricted(training.bonds, kinds, units), active)


def _held_priors(training: Training, problems: Sequence[Problem], owner: IntArray) -> list[dict[int, FloatArray]]:
    """Return the kernels of the rows of every structure left out with themselves, of every problem of a family."""
    out: list[dict[int, FloatArray]] = [{} for _ in problems]
    for structure in np.intersect1d(training.held, owner):
        own = restricted(training.bonds, problems[0].kinds(training.kernel), np.flatnonzero(owner == structure))
        for known, k in zip(out, kernels(training.kernel, problems, own, own), strict=True):
            known[int(structure)] = k
    return out


def _nothing(y: FloatArray) -> Fit:
    """Return the fit of a family without bonds: it predicts zero."""
    n = y.shape[1]
    return Fit(np.zeros((0, n)), None, np.ones(n), np.full(n, np.nan))


def held_out_answers(training: Training, problems: Sequence[Problem], fits: Sequence[Fit]) -> HeldOut:
    """Return the predictions of all structures that were left out, with covariances."""
    data = training.data
    owners = [np.repeat(training.owner(problem), problem.width) for problem in problems]
    left_out = [owner[fit.held] for owner, fit in zip(owners, fits, strict=True)]
    indices = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *left_out]))
    values = {g: np.zeros_like(y) for g, y in data.values.items()}
    covariances: dict[Group, list[FloatArray]] = {}
    for group, n in data.n_targets.items():
        sizes = [int((data.owner[group] == s).sum()) for s in indices]
        covariances[group] = [np.zeros((n, size, size)) for size in sizes]
    for problem, fit, owner in zip(problems, fits, owners, strict=True):
        if not len(owner):
            continue
        predicted = np.zeros((len(owner), fit.residuals.shape[1]))
        predicted[fit.held] = training.targets(problem)[fit.held] - fit.residuals
        for group, columns in columns_of(problem, data.n_targets):
            turn = back(problem, group, training.bonds, len(values[group]) // group.width)
            values[group] += turn @ predicted[:, columns]
            for place, structure in enumerate(indices.tolist()):
                if structure not in fit.covariances:
                    continue
                part = turn[np.flatnonzero(data.owner[group] == structure)][:, np.flatnonzero(owner == structure)]
                known = turned_covariance(part.toarray(), fit.covariances[structure])
                covariances[group][place] += fit.known.scales[columns, None, None] * known
    answers = Answers(len(indices))
    for group, rows in values.items():
        kept = np.isin(data.owner[group], indices)
        answers.add(group, rows[kept] + data.offset(group), covariances[group])
    return HeldOut(indices, answers)


def turned_covariance(turn: FloatArray, covariance: FloatArray) -> FloatArray:
    """Return T V T^T of matrices V [..., row, row]."""
    return np.asarray(turn @ covariance @ turn.T)


def columns_of(problem: Problem, n_targets: Mapping[Group, int]) -> list[tuple[Group, slice]]:
    """Return the columns of every group of a problem."""
    ends = np.cumsum([0, *(n_targets[group] for group in problem.groups)])
    return [(g, slice(int(a), int(b))) for g, a, b in zip(problem.groups, ends[:-1], ends[1:], strict=True)]
