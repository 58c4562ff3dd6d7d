"""Fits of a kernel block model: kernels in batches of groups that fit into memory, then every group by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hamlearn.blocks import BlockKey, Blocks
from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.models.active_samples import family_name
from hamlearn.models.block_groups import Group
from hamlearn.models.kernel_group import GroupFit, SparseGroup, fit_full
from hamlearn.models.kernel_rows import as_matrix, kernel_rows, self_kernels, symmetric_kernels, wanted_of

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_HELD_OUT = 100
"""Structures of a sparse model that are left out at first, to choose the regularisation and calibrate error bars."""

FEWEST_FOLDS = 8

COPIES = 8
"""Copies of the kernel matrix of a group alive at the peak of a fit: matrix, pending rows, factors, work space."""


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
    def folds(self) -> list[IntArray]:
        """Structures of every fold."""
        order = np.random.default_rng(0).permutation(self.n_structures)
        n = min(max(self.n_folds, FEWEST_FOLDS), self.n_structures)
        return [np.flatnonzero(order % n == fold) for fold in range(n)]

    @cached_property
    def first_held(self) -> IntArray:
        """Structures a sparse model leaves out at first, ascending; every block has rows in them."""
        held = set(self.folds[0][:MOST_HELD_OUT].tolist())
        for family in sorted({group.family for group in self.groups}):
            owners = self.blocks.samples[family][:, 0].tolist()
            if held.isdisjoint(owners):
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


def gigabytes(n_rows: int) -> float:
    """Return the memory that the fit of a group takes whose basis has so many rows."""
    return 8e-9 * COPIES * n_rows**2


def batches(groups: Sequence[Group], basis: Centres, memory_gb: float) -> Iterator[list[Group]]:
    """Yield groups whose kernel matrices fit into memory together.

    Raises:
        ConfigError: if those of a single group do not.
    """
    batch: list[Group] = []
    used = 0.0
    for group in groups:
        n = basis.count(group.family) * (2 * group.L + 1)
        needed = gigabytes(n)
        if needed > memory_gb:
            raise ConfigError(
                f"the kernel of {n} rows ({family_name(group.family)}, L = {group.L}) needs {needed:.2g} GB, more than "
                f"memory_gb = {memory_gb:g}; raise memory_gb, or set model.basis: sparse and a smaller model.active"
            )
        if batch and used + needed > memory_gb:
            yield batch
            batch, used = [], 0.0
        batch.append(group)
        used += needed
    if batch:
        yield batch


def fit_groups_full(
    kernel: BlockKernel,
    centres: Centres,
    groups: Sequence[Group],
    data: Data,
    variance: bool,
    executor: str,
    advance: Callable[[int], None],
) -> Iterator[tuple[Group, GroupFit]]:
    """Fit groups on the kernels of all samples; ``advance`` is told how many structures were dealt with."""
    kernels = symmetric_kernels(kernel, centres, wanted_of(groups), executor)
    advance(centres.n_structures)
    for group in groups:
        k = as_matrix(kernels.pop((group.family, (group.L, group.sigma))))
        owner = data.owner(group)
        folds = [np.flatnonzero(np.isin(owner, fold)) for fold in data.folds] if data.n_structures > 1 else []
        unit, width = kernel.largest(group.family.kind), 2 * group.L + 1
        yield group, fit_full(k, data.rows(group), [f for f in folds if len(f)], owner, variance, unit, width)


def fit_groups_sparse(
    kernel: BlockKernel,
    centres: Centres,
    active: Centres,
    groups: Sequence[Group],
    data: Data,
    variance: bool,
    executor: str,
    advance: Callable[[int], None],
) -> Iterator[tuple[Group, GroupFit]]:
    """Fit groups on an active set, rows of the training set tile by tile; see :func:`fit_groups_full`."""
    wanted = wanted_of(groups)
    k_mm = symmetric_kernels(kernel, active, wanted, executor)
    fits = {}
    for g in groups:
        k = as_matrix(k_mm.pop((g.family, (g.L, g.sigma))))
        fits[g] = SparseGroup(k, variance, kernel.largest(g.family.kind), 2 * g.L + 1)
    y, owner = {g: data.rows(g) for g in groups}, {g: data.owner(g) for g in groups}
    held: dict[Group, list[tuple[IntArray, FloatArray]]] = {g: [] for g in groups}
    for start, stop, kernels in kernel_rows(kernel, centres, active, wanted, executor):
        for g in groups:
            k, rows = as_matrix(kernels.pop((g.family, (g.L, g.sigma)))), _between(owner[g], start, stop)
            out = np.isin(owner[g][rows], data.first_held)
            fits[g].add(k[~out], y[g][rows[~out]])
            held[g].append((rows[out], k[out]))
        advance(stop - start)
    structures = data.first_held.tolist()
    own = self_kernels(kernel, centres, structures, wanted) if variance else []
    for g in groups:
        parts = sorted(held.pop(g), key=lambda part: part[0][0] if len(part[0]) else -1)
        rows, k = (np.concatenate(x) for x in zip(*parts, strict=True))
        priors = {s: as_matrix(x[g.family, (g.L, g.sigma)]) for s, x in zip(structures, own, strict=False)}
        yield g, fits.pop(g).fit(k, y[g][rows], rows, owner[g][rows], priors)


def _between(owner: IntArray, start: int, stop: int) -> IntArray:
    return np.arange(*np.searchsorted(owner, [start, stop]))
