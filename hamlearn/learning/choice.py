"""Settings that cannot be changed once a kernel is computed, chosen by cross-validation and then frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TypeVar

import numpy as np

from hamlearn.config import KernelSettings, WignerSettings, changed_section
from hamlearn.errors import ConfigError
from hamlearn.job import Job
from hamlearn.regression.alphas import SingularKernel
from hamlearn.ties import first_of_best

Settings = TypeVar("Settings", WignerSettings, KernelSettings)


RATES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Values tried of the rate of a mixture of orders of kernels of pairs that is left open."""


def grid_of(settings: Settings) -> list[Settings]:
    """Return the settings of every point of their grid; those given, without a grid.

    Raises:
        ConfigError: if a value is not acceptable.
    """
    grid = _values(settings)
    points = [dict(zip(grid, point, strict=True)) for point in product(*grid.values())]
    return [changed_section(settings, point | {"grid": None}, "model.kernel.grid") for point in points]


def choose(settings: Settings, error_of: Callable[[Settings], float], unit: str, job: Job) -> Settings:
    """Return the settings of the grid with the smallest cross-validated error; as given without a grid.

    Settings whose ``error_of`` raises SingularKernel are passed over; ``unit`` tells the job what the errors are.

    Raises:
        ConfigError: if no choice gives a finite error.
    """
    options, names = grid_of(settings), list(_values(settings))
    if not names:
        return settings
    errors = []
    for option in options:
        try:
            errors.append(error_of(option))
        except SingularKernel:
            errors.append(np.inf)
        named = ", ".join(f"{name} {_word(getattr(option, name))}" for name in names)
        job.say(f"model.kernel.grid: {named}: cross-validated {unit} {errors[-1]:.4g}")
    if not np.isfinite(errors).any():
        raise ConfigError("no choice of model.kernel.grid gives a finite error; look for structures that occur twice")
    return options[int(first_of_best(-np.array(errors)))]


def evenly_spaced(n: int, most: int) -> Sequence[int]:
    """Return at most so many of 0 ... n - 1, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64)).tolist()


def _values(settings: Settings) -> dict[str, Sequence[float | None]]:
    """Return the values of every setting that is left open."""
    grid: dict[str, Sequence[float | None]] = dict(settings.grid or {})
    if isinstance(settings, WignerSettings) and settings.rate is None:
        grid.setdefault("rate", RATES)
    return grid


def _word(value: object) -> object:
    return "none" if value is None else value
