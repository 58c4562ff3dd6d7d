"""Fits of groups of blocks on kernels that lie in files, one group after another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from hamlearn.job import Job
from hamlearn.kernels import Centres
from hamlearn.learning.data import Data, number_of_folds
from hamlearn.learning.groups import Answers, Group, HeldOut
from hamlearn.learning.kernel_rows import as_matrix, self_kernels
from hamlearn.learning.limits import refuse_beyond
from hamlearn.learning.tiles import KernelTiles
from hamlearn.regression.folds import rows_of
from hamlearn.regression.kernel_fit import ActiveFit, KernelFit, fit_full
from hamlearn.regression.sparse import Solver
from hamlearn.structures.families import Family
from hamlearn.types import IntArray

Fits: TypeAlias = dict[Group, KernelFit]

MOST_HELD_OUT = 100
"""Structures of a sparse model that are left out at first, to choose the regularisation and calibrate error bars."""

COPIES = 8
"""Copies of the kernel matrix of a group alive at the peak of a fit: matrix, factors, work space."""


def gigabytes(n_columns: int, n_held: int = 0) -> float:
    """Return the memory that the fit of a group takes: columns of its basis, and rows kept while they are left out."""
    return 8e-9 * (COPIES * n_columns**2 + 2 * n_held * n_columns)


def check_memory(
    groups: Iterable[Group], basis: Mapping[Family, int], memory_gb: float, held: Mapping[Family, int] | None = None
) -> None:
    """Refuse groups whose fit does not fit into memory.

    Args:
        groups: of blocks.
        basis: number of samples in the basis, by family.
        memory_gb: the bound.
        held: number of samples kept apart while they are left out, by family.

    Raises:
        ConfigError: naming the first such group.
    """
    for group in groups:
        n, n_held = (group.width * counts[group.family] for counts in (basis, held or dict.fromkeys(basis, 0)))
        what = f"the kernel of {n} rows ({group.name}, L = {group.L}) needs"
        remedy = "raise memory_gb, or set model.basis: sparse and a smaller model.active"
        refuse_beyond(memory_gb, gigabytes(n, n_held), what, remedy)


def held_fraction(n_structures: int, n_folds: int) -> float:
    """Return about which part of the structures a sparse model leaves out at first."""
    return min(MOST_HELD_OUT / n_structures, 1 / number_of_folds(n_structures, n_folds))


def n_held_out(n_structures: int, n_folds: int) -> int:
    """Return about how many structures a sparse model leaves out at first."""
    return math.ceil(held_fraction(n_structures, n_folds) * n_structures)


def first_held(data: Data, n_folds: int, centres: Centres) -> IntArray:
    """Return structures a sparse model leaves out at first, ascending; every family has samples in reach there."""
    n = number_of_folds(data.n_structures, n_folds)
    held = set(np.flatnonzero((data.order % n == 0) & (data.order < n * MOST_HELD_OUT)).tolist())
    for family in sorted({group.family for group in data.groups}):
        owners = centres.owners(family)[centres.in_reach(family)].tolist()
        if owners and held.isdisjoint(owners):
            held.add(owners[0])
    return np.array(sorted(held))


def fit_groups(
    tiles: KernelTiles,
    active: Mapping[Family, IntArray] | None,
    data: Data,
    n_folds: int,
    variance: bool,
    job: Job,
    solver: Solver = "qr",
) -> Fits:
    """Compute the kernels, then fit every group.

    Args:
        tiles: kernels of all samples with those of the basis, computed here unless they are in their folder.
        active: which samples of every family are the basis; None: all.
        data: blocks.
        n_folds: least number of cross-validation folds.
        variance: also find what error bars need.
        job: where tiles of kernels are computed.
        solver: of fits on an active set.
    """
    with job.progress("structures", data.n_structures) as progress:
        for start, stop in tiles.compute(job.executor):
            progress.advance(count=stop - start)
    if active is None:
        steps = fit_groups_full(tiles, data, n_folds, variance)
    else:
        steps = _fit_groups_active(tiles, active, data, n_folds, variance, solver)
    fits = {}
    with job.progress("groups of blocks", len(data.groups)) as progress:
        for group, fit in steps:
            fits[group] = fit
            progress.advance()
    return fits


def fit_groups_full(tiles: KernelTiles, data: Data, n_folds: int, variance: bool) -> Iterator[tuple[Group, KernelFit]]:
    """Fit every group on the kernels of all samples, which are in the folder of ``tiles``."""
    members = data.folds(n_folds) if data.n_structures > 1 else []
    for group in data.groups:
        k, owner = tiles.matrix(group.family, group.irrep), data.owner[group]
        folds = [rows for fold in members if len(rows := rows_of(owner, fold))]
        unit = tiles.kernel.largest(group.family.kind)
        yield group, fit_full(k, data.rows(group), folds, owner, variance, unit, group.width)


def _fit_groups_active(
    tiles: KernelTiles,
    active: Mapping[Family, IntArray],
    data: Data,
    n_folds: int,
    variance: bool,
    solver: Solver,
) -> Iterator[tuple[Group, KernelFit]]:
    """Fit every group on an active set, rows of the training set tile by tile."""
    structures = first_held(data, n_folds, tiles.rows)
    own = self_kernels(tiles.kernel, tiles.rows, structures.tolist(), tiles.wanted) if variance else []
    for group in data.groups:
        name = group.family, group.irrep
        k_mm = tiles.matrix(*name, active[group.family])
        y, owner = data.rows(group), data.owner[group]
        unit = tiles.kernel.largest(group.family.kind)
        fit = ActiveFit((k_mm + k_mm.T) / 2, y.shape[1], variance, unit, group.width, solver)
        is_held = np.isin(owner, structures)
        held = []
        for where, k in tiles.parts(*name):
            out = is_held[where]
            fit.add(k[~out], y[where][~out])
            held.append(k[out])
        priors = {s: as_matrix(x[name]) for s, x in zip(structures.tolist(), own, strict=False)}
        yield group, fit.fit(np.concatenate(held), y[is_held], np.flatnonzero(is_held), owner[is_held], priors)


def held_out_answers(data: Data, fits: Fits) -> HeldOut:
    """Return the predictions of all structures that were left out."""
    indices = np.unique(np.concatenate([data.owner[group][fit.held] for group, fit in fits.items()]))
    answers = Answers(len(indices))
    for group, fit in fits.items():
        rows = data.rows(group)[fit.held] - fit.residuals + data.offset(group)
        scales = fit.scales[:, None, None]
        nothing = np.zeros((len(fit.scales), 0, 0))
        known = fit.held_covariances
        answers.add(group, rows, [scales * known[int(k)] if int(k) in known else nothing for k in indices])
    return HeldOut(indices, answers)
