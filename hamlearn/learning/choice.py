"""Settings of the kernels of a Hamiltonian, chosen by cross-validation on some of the training set and then frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.blocks import BlockKey, Blocks
from hamlearn.config import ModelSettings, WignerSettings, changed_section
from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel
from hamlearn.learning.groups import Group, group_blocks
from hamlearn.learning.kernel_training import FEWEST_FOLDS, Data, check_memory, fit_groups_full, gigabytes
from hamlearn.learning.rows import wanted_of
from hamlearn.learning.tiles import KernelTiles, scratch_folder
from hamlearn.regression.kernel_fit import SingularKernel
from hamlearn.types import Echo
from hamlearn.units import HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

MOST_TO_CHOOSE = 100
"""Structures the choice is made on, evenly spaced in the training set; fewer where memory does not hold them."""


def choose_wigner(
    wigner: WignerSettings,
    model: ModelSettings,
    structures: Sequence[Atoms],
    blocks: Blocks,
    echo: Echo = None,
    executor: str = "serial",
    scratch: Path | None = None,
) -> WignerSettings:
    """Return the settings of the grid with the smallest cross-validated RMSE of the matrix; as given without a grid.

    Args:
        wigner: kernels, with a grid of other values.
        model: folds and memory.
        structures: training geometries.
        blocks: their blocks.
        echo: receives a line for every choice; None for silence.
        executor: where kernels are computed.
        scratch: folder that keeps them; None: a temporary one.

    Raises:
        ConfigError: if kernels need more than ``memory_gb``, or no choice gives a finite error.

    Rotating, inverting or renumbering the atoms of structures does not change the choice.
    """
    if wigner.grid is None:
        return wigner
    n, size = len(structures), min(len(structures), MOST_TO_CHOOSE)
    while True:
        chosen = np.unique(np.linspace(0, n - 1, size).astype(np.int64))
        some, part = [structures[k] for k in chosen], _part(blocks, chosen.tolist())
        groups = group_blocks(part)
        rows = max(len(part.samples[group.family]) * (2 * group.L + 1) for group in groups)
        if size <= FEWEST_FOLDS or gigabytes(rows) <= model.memory_gb:
            break
        size //= 2
    n_elements = math.fsum((2 * key.L + 1) * key.multiplicity * len(part.values[key]) for key in part.values)
    best, least = None, np.inf
    for settings in grid_of(wigner):
        error = _error(settings, model, some, part, groups, executor, scratch) / n_elements
        if echo is not None:
            named = ", ".join(f"{name} {getattr(settings, name)}" for name in wigner.grid)
            echo(f"wigner.grid: {named}: cross-validated RMSE of an element {1e3 * HARTREE_EV * error**0.5:.3g} meV")
        if error < least:
            best, least = settings, error
    if best is None:
        raise ConfigError("no choice of wigner.grid gives a finite error; look for structures that occur twice")
    return best


def grid_of(wigner: WignerSettings) -> list[WignerSettings]:
    """Return the settings of every point of the grid; those given, without a grid.

    Raises:
        ConfigError: if a value is not acceptable.
    """
    grid = wigner.grid or {}
    points = [dict(zip(grid, point, strict=True)) for point in product(*grid.values())]
    return [changed_section(wigner, point | {"grid": None}, "wigner.grid") for point in points]


def _error(
    settings: WignerSettings,
    model: ModelSettings,
    structures: Sequence[Atoms],
    blocks: Blocks,
    groups: Mapping[Group, list[BlockKey]],
    executor: str,
    scratch: Path | None,
) -> float:
    """Return the sum of squared errors of all matrix elements left out, infinite for kernels that are singular."""
    kernel = BlockKernel(settings).fit(structures)
    centres = kernel.centres(structures)
    data = Data(groups, blocks, len(structures), model.folds)
    total = 0.0
    check_memory(groups, {group.family: centres.count(group.family) for group in groups}, model.memory_gb)
    with scratch_folder(scratch) as folder:
        tiles = KernelTiles(kernel, centres, centres, wanted_of(groups), folder, is_symmetric=True)
        for _ in tiles.compute(executor):
            pass
        try:
            for group, fit in fit_groups_full(tiles, data, False):
                multiplicity = np.array([key.multiplicity for key in groups[group]])
                total += float((fit.residuals**2).sum(axis=0) @ multiplicity)
        except SingularKernel:
            return np.inf  # this choice is none, others may be
    return total


def _part(blocks: Blocks, chosen: list[int]) -> Blocks:
    """Return the blocks of some structures, counted anew."""
    position = {structure: k for k, structure in enumerate(chosen)}
    samples, kept = {}, {}
    for family, table in blocks.samples.items():
        rows = np.flatnonzero(np.isin(table[:, 0], chosen))
        samples[family], kept[family] = table[rows].copy(), rows
        samples[family][:, 0] = [position[int(s)] for s in table[rows, 0]]
    return Blocks(samples, {key: values[kept[key.family]] for key, values in blocks.values.items()})
