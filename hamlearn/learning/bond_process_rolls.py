"""Whether enough rolls are averaged for the bonds of a training set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hamlearn.errors import ConfigError
from hamlearn.features.bond_rows import Bonds
from hamlearn.kernels.bond_kernel import BondBasis, BondKernel
from hamlearn.learning.bond_problems import Problem
from hamlearn.learning.bond_process_kernels import terms_of
from hamlearn.o3.monomials import Key
from hamlearn.o3.rolls import Points, RollAverage

SAMPLED = 64
"""Bonds of every kind."""

TOLERANCE = 2e-4
"""Largest change of a kernel when a frame is rolled by half a step, in units of the function at distance 0."""

MOST_ROLLS = 240


def check_rolls(kernel: BondKernel, bonds: BondBasis, problems: Sequence[Problem]) -> None:
    """Refuse rolls so few that a roll of a frame by half a step changes kernels of a training set.

    Raises:
        ConfigError: naming a number that suffices.
    """
    needed, worst = kernel.settings.rolls, 0.0
    keys: dict[Bonds, set[Key]] = {}
    for problem in problems:
        for kind, key in terms_of(kernel, problem):
            keys.setdefault(kind, set()).add(key)
    for kind, wanted in keys.items():
        own = bonds.sets[kind].components
        rows = np.unique(np.linspace(0, own.shape[1] - 1, SAMPLED).astype(np.int64))
        points = Points.of(own[:, torch.from_numpy(rows)], kernel.contractions_[kind].charges)
        worst = max(worst, roll_error(kernel, points, sorted(wanted), kernel.settings.rolls))
        while needed < MOST_ROLLS and roll_error(kernel, points, sorted(wanted), needed) > TOLERANCE:
            needed += 4
    if worst > TOLERANCE:
        raise ConfigError(
            f"model.kernel.rolls is {kernel.settings.rolls}: a roll of a frame by half a step changes kernels by "
            f"{worst:.1e}, more than {TOLERANCE:g} of the function; raise it to {needed}, or "
            "raise model.kernel.length"
        )


def roll_error(kernel: BondKernel, points: Points, keys: Sequence[Key], n_rolls: int) -> float:
    """Return by how much kernels change when the frames of one side are rolled by half a step.

    The mean over twice as many rolls is that of kernels before and after.
    """
    once, twice = (
        RollAverage(kernel.settings.form, n, tuple(keys)).planes(points, points) for n in (n_rolls, 2 * n_rolls)
    )
    return 2 * float((once - twice).abs().max())
