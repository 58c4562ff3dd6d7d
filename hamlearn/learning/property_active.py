"""Which environments carry a sparse model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.angular.elements import symbol
from hamlearn.config import ModelSettings
from hamlearn.errors import ConfigError
from hamlearn.kernels import EnvironmentKernel, Environments
from hamlearn.regression.farthest import farthest_points
from hamlearn.types import FloatArray, IntArray, Irrep

if TYPE_CHECKING:
    from ase import Atoms


SMALLEST_DISTANCE = 1e-10
"""Squared distance, relative to the largest norm, below which environments count as equal."""


def active_rows(
    kernel: EnvironmentKernel,
    structures: Sequence[Atoms],
    irrep: Irrep,
    model: ModelSettings,
    mixture: FloatArray,
) -> tuple[Sequence[Atoms], Irrep, dict[int, IntArray]]:
    """Return the structures that hold the active environments, the irrep, and the rows of the environments in them.

    The farthest points of every element in the metric of the mixture; all of them if no number is given.

    Args:
        kernel: fitted.
        structures: training set.
        irrep: (L, sigma) of the property.
        model: its numbers of active environments.
        mixture: weights of the parts of the kernel.
    """
    env = kernel.environments(structures)
    wanted = _wanted(env, model)
    chosen = {z: _farthest(kernel, env, z, n, mixture) for z, n in wanted.items()}
    holders = np.unique(np.concatenate([env.structure[z][rows] for z, rows in chosen.items()]))
    rows = {z: (np.cumsum(np.isin(env.structure[z], holders)) - 1)[index] for z, index in chosen.items()}
    return [structures[k] for k in holders], irrep, rows


def _wanted(env: Environments, model: ModelSettings) -> dict[int, int]:
    """Return the number of active environments of every element."""
    active = model.active
    if isinstance(active, dict):
        missing = [symbol(z) for z in env.species if symbol(z) not in active]
        if missing:
            raise ConfigError(f"model.active says nothing of {', '.join(missing)}; give a number for every element")
        return {z: min(active[symbol(z)], env.count(z)) for z in env.species}
    return {z: env.count(z) if active is None else min(active, env.count(z)) for z in env.species}


def _farthest(kernel: EnvironmentKernel, env: Environments, z: int, n: int, mixture: FloatArray) -> IntArray:
    """Return rows of one element, ascending."""
    if n == env.count(z):
        return np.arange(n)
    own = env.select({z: np.arange(env.count(z))})

    def column(row: int) -> FloatArray:
        one = own.select({z: np.array([row])})
        return mixture @ kernel.environment_matrix(own, one)[z][:, :, 0]

    diagonal = mixture @ kernel.environment_diagonal(own)[z]
    rows, _ = farthest_points(column, n, diagonal, first=0, tolerance=SMALLEST_DISTANCE)
    return np.sort(rows)
