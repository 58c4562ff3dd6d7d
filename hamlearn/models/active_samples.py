"""The active set of a sparse kernel model: farthest atoms of every element and farthest pairs of two elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from hamlearn.angular.elements import symbol
from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.models.kernel_rows import results
from hamlearn.models.selection import farthest_points
from hamlearn.progress import Progress
from hamlearn.structures.samples import Family

IntArray = NDArray[np.int64]
CANDIDATES = 2.0
"""How many samples, drawn at random, the farthest ones are chosen from, in units of the number chosen: columns of a
kernel of pairs cost as much as the rest of a fit if all samples were candidates."""


def choose_active(
    kernel: BlockKernel,
    centres: Centres,
    most: int | Mapping[str, int],
    executor: str = "serial",
    echo: Callable[[str], object] | None = None,
) -> Centres:
    """Return the samples that are farthest from each other in the metric of the invariant kernel, by family.

    Args:
        kernel: fitted.
        centres: all samples of the training set.
        most: number of samples of every family, or by name such as {C: 500, C-H: 2000}.
        executor: where kernels are computed, one task for every family.
        echo: receives lines about the progress; None for silence.

    Raises:
        ConfigError: for names that do not occur, or more samples than there are.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eq. 9.
    """
    families = [Family("on_site", z, z) for z in centres.sites]
    families += [Family("plus" if a == b else "cross", a, b) for a, b in centres.bonds]
    present = {family_name(f): f for f in families if centres.count(f)}
    if isinstance(most, Mapping):
        _check_names(most, present, centres)
    chosen: dict[Family, IntArray] = {}
    tasks, places = [], []
    for name, family in present.items():
        n = centres.count(family)
        k = min(most if isinstance(most, int) else most.get(name, n), n)
        chosen[family] = np.arange(n)
        if k < n:
            candidates = np.sort(np.random.default_rng(0).permutation(n)[: max(k, int(CANDIDATES * k))])
            tasks.append((kernel, centres.select({family: candidates}), family, k))
            places.append((family, candidates))
    with Progress("active set, families", len(tasks), echo) as progress:
        for index, rows in results(executor, _farthest, tasks):
            family, candidates = places[index]
            chosen[family] = np.sort(candidates[rows])
            progress.advance()
    return centres.select(chosen)


def _farthest(kernel: BlockKernel, candidates: Centres, family: Family, k: int) -> IntArray:
    """Return the rows of the k farthest samples."""
    matrix = kernel.between(candidates, candidates, {family: [(0, 1)]})[family, (0, 1)][:, 0, :, 0]
    return farthest_points(matrix, k, first=0)[0]


def family_name(family: Family) -> str:
    """Return C for atoms, C-H for pairs."""
    first, second = symbol(family.species_i), symbol(family.species_j)
    return first if family.kind == "on_site" else f"{first}-{second}"


def _check_names(most: Mapping[str, int], present: Mapping[str, Family], centres: Centres) -> None:
    unknown = sorted(set(most) - set(present))
    if unknown:
        raise ConfigError(f"model.active names {', '.join(unknown)}; the training set has {', '.join(present)}")
    for name, k in most.items():
        n = centres.count(present[name])
        if k > n:
            raise ConfigError(f"model.active asks for {k} samples of {name}, the training set has {n}; lower it")
