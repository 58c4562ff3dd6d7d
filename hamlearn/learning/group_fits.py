"""Fits of groups of blocks on kernels that lie in files, one group after another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from hamlearn.config import KernelRidgeSettings
from hamlearn.job import Job
from hamlearn.kernels import Centres
from hamlearn.learning.data import Data, number_of_folds
from hamlearn.learning.groups import Answers, Group, HeldOut
from hamlearn.learning.limits import refuse_beyond
from hamlearn.learning.tiles import KernelTiles, as_matrix, self_kernels
from hamlearn.regression.fit import Fit, fit_kernel, reaches
from hamlearn.regression.folds import rows_of
from hamlearn.regression.full import FullProblem, full_gigabytes
from hamlearn.regression.sparse import SparseProblem
from hamlearn.structures.families import Family
from hamlearn.types import IntArray

Fits: TypeAlias = dict[Group, Fit]

MOST_HELD_OUT = 100
"""Structures of a sparse model that are left out at first, to choose the regularisation and calibrate error bars."""

COPIES = 8
"""Copies of the kernel matrix of a group alive at the peak of a fit: matrix, factors, work space."""


def gigabytes(n_columns: int, n_held: int = 0) -> float:
    """Return the memory that the fit of a group takes: columns of its basis, and rows kept while they are left out."""
    return 8e-9 * (COPIES * n_columns**2 + 2 * n_held * n_columns)


def most_columns(memory_gb: float, n_held: int = 0) -> int:
    """Return how many columns fit into memory beside rows kept while they are left out; see :func:`gigabytes`."""
    kept = n_held / COPIES
    return int((kept**2 + memory_gb / (8e-9 * COPIES)) ** 0.5 - kept)


def check_memory(
    groups: Iterable[Group],
    basis: Mapping[Family, int],
    memory_gb: float,
    held: Mapping[Family, int] | None = None,
    n_folds: int = 1,
) -> None:
    """Refuse groups whose fit does not fit into memory.

    Args:
        groups: of blocks.
        basis: numbers of samples in the basis.
        memory_gb: what there is.
        held: numbers of samples kept apart; None: all are the basis, whose fit holds one kernel and blocks of a fold.
        n_folds: that all samples are dealt out to.

    Raises:
        ConfigError: naming the largest such group, so that as much memory is enough for all.
    """
    for group in sorted(groups, key=lambda group: -group.width * basis[group.family]):
        n = group.width * basis[group.family]
        if held is None:
            needed = full_gigabytes(n, math.ceil(n / n_folds), error_bars=True)
        else:
            needed = gigabytes(n, group.width * held[group.family])
        what = f"the kernel of {n} rows ({group.name}, L = {group.L}) needs"
        remedy = "raise memory_gb, or set model.basis: sparse and a smaller model.active"
        refuse_beyond(memory_gb, needed, what, remedy)


def held_fraction(n_structures: int, n_folds: int) -> float:
    """Return about which part of the structures a sparse model leaves out at first."""
    return min(MOST_HELD_OUT / n_structures, 1 / number_of_folds(n_structures, n_folds))


def n_held_out(n_structures: int, n_folds: int) -> int:
    """Return about how many structures a sparse model leaves out at first."""
    return math.ceil(held_fraction(n_structures, n_folds) * n_structures)


def first_held(data: Data, n_folds: int, families: Iterable[IntArray]) -> IntArray:
    """Return structures a sparse model leaves out at first, ascending; every family has samples in reach there.

    Args:
        data: blocks.
        n_folds: least number of cross-validation folds.
        families: structure of every sample in reach of each family.
    """
    n = number_of_folds(data.n_structures, n_folds)
    held = set(np.flatnonzero((data.order % n == 0) & (data.order < n * MOST_HELD_OUT)).tolist())
    for owners in families:
        if len(owners) and held.isdisjoint(owners.tolist()):
            held.add(int(owners[0]))
    return np.array(sorted(held))


def owners_in_reach(centres: Centres, groups: Iterable[Group]) -> list[IntArray]:
    """Return the structure of every sample in reach of the families of some groups, family by family."""
    families = sorted({group.family for group in groups})
    return [centres.owners(family)[centres.in_reach(family)] for family in families]


def fit_groups(
    tiles: KernelTiles,
    active: Mapping[Family, IntArray] | None,
    data: Data,
    settings: KernelRidgeSettings,
    variance: bool,
    job: Job,
) -> Fits:
    """Compute the kernels, then fit every group.

    Args:
        tiles: kernels of all samples with those of the basis, computed here unless they are in their folder.
        active: which samples of every family are the basis; None: all.
        data: blocks.
        settings: least number of cross-validation folds, and solver of fits on an active set.
        variance: also find what error bars need.
        job: where tiles of kernels are computed.
    """
    with job.progress("structures", tiles.costs.tolist()) as progress:
        for start, stop in tiles.compute(job.executor):
            progress.advance(items=range(start, stop))
    fits = {}
    columns = {g: len(data.values[g]) if active is None else g.width * len(active[g.family]) for g in data.groups}
    costs = [float(len(data.values[group])) * n**2 for group, n in columns.items()]  # of factors
    with job.progress("groups of blocks", costs) as progress:
        for group, fit in fits_of_groups(tiles, active, data, settings, variance):
            fits[group] = fit
            progress.advance()
    return fits


def fits_of_groups(
    tiles: KernelTiles,
    active: Mapping[Family, IntArray] | None,
    data: Data,
    settings: KernelRidgeSettings,
    variance: bool,
) -> Iterator[tuple[Group, Fit]]:
    """Yield the fit of every group on the kernels that are in the folder of ``tiles``, see :func:`fit_groups`."""
    members = data.folds(settings.folds) if data.n_structures > 1 else []
    if active is not None:
        members = [first_held(data, settings.folds, owners_in_reach(tiles.rows, data.groups))]
    out = np.concatenate([np.arange(0), *members])
    own = self_kernels(tiles.kernel, tiles.rows, out.tolist(), tiles.wanted) if variance and active is not None else []
    for group in data.groups:
        name, y, owner = (group.family, group.irrep), data.rows(group), data.owner[group]
        unit = tiles.kernel.largest(group.family.kind)
        priors = {s: as_matrix(k[name]) for s, k in zip(out.tolist(), own, strict=False)}
        held = rows_of(owner, out)
        if active is None:
            k = tiles.matrix(*name)
            folds = [rows for fold in members if len(rows := rows_of(owner, fold))]
            problem: FullProblem | SparseProblem = FullProblem(k, y, folds)
            if variance:
                priors = {s: k[np.ix_(rows, rows)] for s in out.tolist() if len(rows := np.flatnonzero(owner == s))}
        else:
            k = tiles.matrix(*name, active[group.family])
            k = (k + k.T) / 2 if reaches(k, unit) else np.zeros_like(k)
            problem = SparseProblem(k, y.shape[1], solver=settings.solver or "qr")
            is_held = np.isin(owner, out)
            for where, k in tiles.parts(*name):
                apart = is_held[where]
                problem.add(k[~apart], y[where][~apart])
                problem.keep(k[apart], y[where][apart], part=1)
        yield group, fit_kernel(problem, y, held, owner, priors if variance else None, unit, group.width)


def held_out_answers(data: Data, fits: Fits) -> HeldOut:
    """Return the predictions of all structures that were left out."""
    indices = np.unique(np.concatenate([data.owner[group][fit.held] for group, fit in fits.items()]))
    answers = Answers(len(indices))
    for group, fit in fits.items():
        rows = data.rows(group)[fit.held] - fit.residuals + data.offset(group)
        scales, nothing = fit.known.scales[:, None, None], np.zeros((0, 0))
        answers.add(group, rows, [scales * fit.covariances.get(int(k), nothing) for k in indices])
    return HeldOut(indices, answers)
