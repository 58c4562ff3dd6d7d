"""Settings of a kernel that cannot be changed once it is computed, such as widths, chosen by cross-validation."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hamlearn.config import KernelSettings, ModelSettings, TargetSettings, changed_section
from hamlearn.errors import HamlearnWarning
from hamlearn.types import Echo

if TYPE_CHECKING:
    from ase import Atoms


def candidates(settings: KernelSettings) -> list[KernelSettings]:
    """Return the settings with every combination of the values of their grid.

    Raises:
        ConfigError: for a value that is not acceptable, naming it.
    """
    grid = settings.grid or {}
    chosen = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    return [changed_section(settings, {**values, "grid": None}, "kernel.grid") for values in chosen]


def choose_kernel(
    structures: Sequence[Atoms],
    target: TargetSettings,
    options: Sequence[KernelSettings],
    model: ModelSettings,
    error_of: Callable[[TargetSettings, KernelSettings, ModelSettings, Sequence[Atoms]], float],
    echo: Echo = None,
) -> KernelSettings:
    """Return the settings with the smallest cross-validated error of the values; forces take no part.

    Args:
        structures: training set, or part of it.
        target: which property.
        options: settings to choose among.
        model: folds, error that counts, memory.
        error_of: fits a model and returns its cross-validated error.
        echo: receives one line per option.
    """
    without_forces = target.model_copy(update={"forces_key": None})
    full = model.model_copy(update={"basis": "full", "active": None})
    errors = []
    for option in options:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HamlearnWarning)  # of options that learn nothing; the choice will warn
            errors.append(error_of(without_forces, option, full, structures))
        if echo:
            echo(f"kernel: {_varied(option, options)}: cross-validated {model.loss} {errors[-1]:.4g}")
    return options[errors.index(min(errors))]


def _varied(option: KernelSettings, options: Sequence[KernelSettings]) -> str:
    """Return what an option has of the settings in which options differ, or its widths if in none."""
    values = {name: {getattr(other, name) for other in options} for name in type(option).model_fields}
    names = [name for name, found in values.items() if len(found) > 1]
    names = names or ["smearing_angstrom", "smearing_growth_angstrom"]
    return ", ".join(f"{name} {'none' if (x := getattr(option, name)) is None else x}" for name in names)
