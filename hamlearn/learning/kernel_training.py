"""Fits of a kernel block model: the kernels, then one group of blocks after another on those on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from hamlearn.blocks import BlockKey, Blocks, HeldOut
from hamlearn.errors import ConfigError
from hamlearn.kernels import Centres
from hamlearn.learning.active import family_name
from hamlearn.learning.groups import Answers, Group
from hamlearn.learning.rows import as_matrix, self_kernels
from hamlearn.learning.tiles import KernelTiles
from hamlearn.progress import Progress
from hamlearn.regression.kernel_fit import GroupFit, SparseGroup, fit_full
from hamlearn.structures.samples import Family
from hamlearn.types import Echo, FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


MOST_HELD_OUT = 100
"""Structures of a sparse model that are left out at first, to choose the regularisation and calibrate error bars."""

FEWEST_FOLDS = 8

COPIES = 8
"""Copies of the kernel matrix of a group alive at the peak of a fit: matrix, factors, work space."""


@dataclass(frozen=True)
class Data:
    """Blocks of a training set as rows (sample, M), and who is left out when.

    Attributes:
        groups: blocks of every group.
        blocks: their values.
        n_structures: number of structures.
        n_folds: cross-validation folds, dealt at random with a fixed seed; of few structures more are made, because
            leaving out a third of them says little of a model of all.
    """

    groups: Mapping[Group, Sequence[BlockKey]]
    blocks: Blocks
    n_structures: int
    n_folds: int

    @cached_property
    def _order(self) -> IntArray:
        """Random position of every structure."""
        return np.random.default_rng(0).permutation(self.n_structures)

    @cached_property
    def folds(self) -> list[IntArray]:
        """Structures of every fold."""
        n = _n_folds(self.n_structures, self.n_folds)
        return [np.flatnonzero(self._order % n == fold) for fold in range(n)]

    def first_held(self, centres: Centres) -> IntArray:
        """Return structures a sparse model leaves out at first, ascending; every family has samples in reach there."""
        n = len(self.folds)
        held = set(np.flatnonzero((self._order % n == 0) & (self._order < n * MOST_HELD_OUT)).tolist())
        for family in sorted({group.family for group in self.groups}):
            owners = centres.owners(family)[centres.in_reach(family)].tolist()
            if owners and held.isdisjoint(owners):
                held.add(owners[0])
        return np.array(sorted(held))

    def offset(self, group: Group) -> FloatArray:
        """Return what is subtracted from the blocks of a group [block]."""
        y = self._values(group)
        return y.mean(axis=0) if group.has_intercept else np.zeros(y.shape[1])

    def rows(self, group: Group) -> FloatArray:
        """Return the blocks of a group without their offsets [row, block]."""
        return self._values(group) - self.offset(group)

    def owner(self, group: Group) -> IntArray:
        """Return the structure of every row, ascending [row]."""
        return np.repeat(self.blocks.samples[group.family][:, 0], 2 * group.L + 1)

    def _values(self, group: Group) -> FloatArray:
        values = [self.blocks.values[key].reshape(-1) for key in self.groups[group]]
        return np.stack(values, axis=1)


def _n_folds(n_structures: int, n_folds: int) -> int:
    return min(max(n_folds, FEWEST_FOLDS), n_structures)


def held_fraction(n_structures: int, n_folds: int) -> float:
    """Return about which part of the structures a sparse model leaves out at first."""
    return min(MOST_HELD_OUT / n_structures, 1 / _n_folds(n_structures, n_folds))


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
        width = 2 * group.L + 1
        n, n_held = (width * counts[group.family] for counts in (basis, held or dict.fromkeys(basis, 0)))
        needed = gigabytes(n, n_held)
        if needed > memory_gb:
            raise ConfigError(
                f"the kernel of {n} rows ({family_name(group.family)}, L = {group.L}) needs {needed:.2g} GB, "
                f"more than memory_gb = {memory_gb:g}; raise memory_gb, or set model.basis: sparse and a smaller "
                "model.active"
            )


def fit_groups_full(tiles: KernelTiles, data: Data, variance: bool) -> Iterator[tuple[Group, GroupFit]]:
    """Fit every group on the kernels of all samples, which are in the folder of ``tiles``."""
    for group in data.groups:
        k, owner = tiles.matrix(group.family, (group.L, group.sigma)), data.owner(group)
        folds = [np.flatnonzero(np.isin(owner, fold)) for fold in data.folds] if data.n_structures > 1 else []
        unit, width = tiles.kernel.largest(group.family.kind), 2 * group.L + 1
        yield group, fit_full(k, data.rows(group), [f for f in folds if len(f)], owner, variance, unit, width)


def fit_groups_sparse(
    tiles: KernelTiles, active: Mapping[Family, IntArray], data: Data, variance: bool
) -> Iterator[tuple[Group, GroupFit]]:
    """Fit every group on an active set, rows of the training set tile by tile.

    Args:
        tiles: kernels of all samples with the active ones, which are in their folder.
        active: which samples of every family are active.
        data: blocks.
        variance: also find what error bars need.
    """
    structures = data.first_held(tiles.rows)
    own = self_kernels(tiles.kernel, tiles.rows, structures.tolist(), tiles.wanted) if variance else []
    for group in data.groups:
        name = group.family, (group.L, group.sigma)
        k_mm = tiles.matrix(*name, active[group.family])
        unit, width = tiles.kernel.largest(group.family.kind), 2 * group.L + 1
        fit = SparseGroup((k_mm + k_mm.T) / 2, variance, unit, width)
        y, owner = data.rows(group), data.owner(group)
        is_held = np.isin(owner, structures)
        held = []
        for where, k in tiles.parts(*name):
            out = is_held[where]
            fit.add(k[~out], y[where][~out])
            held.append(k[out])
        priors = {s: as_matrix(x[name]) for s, x in zip(structures.tolist(), own, strict=False)}
        yield group, fit.fit(np.concatenate(held), y[is_held], np.flatnonzero(is_held), owner[is_held], priors)


def fit_groups(
    tiles: KernelTiles,
    active: Mapping[Family, IntArray] | None,
    data: Data,
    variance: bool,
    echo: Echo,
    label: str,
    executor: str,
) -> dict[Group, GroupFit]:
    """Compute the kernels, then fit every group.

    Args:
        tiles: kernels of all samples with those of the basis, computed here unless they are in their folder.
        active: which samples of every family are the basis; None: all.
        data: blocks.
        variance: also find what error bars need.
        echo: receives lines about the progress; None for silence.
        label: begins these lines.
        executor: where tiles of kernels are computed.
    """
    with Progress(f"{label}, structures", data.n_structures, echo) as progress:
        for start, stop in tiles.compute(executor):
            progress.advance(count=stop - start)
    if active is None:
        steps = fit_groups_full(tiles, data, variance)
    else:
        steps = fit_groups_sparse(tiles, active, data, variance)
    fits = {}
    with Progress(f"{label}, groups of blocks", len(data.groups), echo) as progress:
        for group, fit in steps:
            fits[group] = fit
            progress.advance()
    return fits


def held_out_answers(structures: Sequence[Atoms], data: Data, fits: Mapping[Group, GroupFit]) -> HeldOut:
    """Return the predictions of all structures that were left out."""
    indices = np.unique(np.concatenate([data.owner(group)[fit.held] for group, fit in fits.items()]))
    answers = Answers([structures[k] for k in indices], data.groups)
    for group, fit in fits.items():
        rows = data.rows(group)[fit.held] - fit.residuals + data.offset(group)
        scales = fit.scales[:, None, None]
        covariances = [scales * fit.held_covariances.get(int(k), np.zeros((0, 0))) for k in indices]
        values = torch.from_numpy(rows).unflatten(0, (-1, 2 * group.L + 1))
        answers.add(group, values, [torch.from_numpy(c) for c in covariances])
    return HeldOut(indices, answers.blocks(), answers.covariances())
