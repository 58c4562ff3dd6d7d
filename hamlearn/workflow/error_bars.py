"""Whether a run fits error bars where its file says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hamlearn.config import BondFrameKernel, Config, KernelRidgeSettings, RidgeSettings, load_config
from hamlearn.errors import ConfigError

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.learning.groups import Group

FEWEST, MOST, MOST_OF_PROCESS = 20, 2000, 500
"""Training structures between which they are fitted: fewer do not tell their scale, of more all covariances take
longer than the fit; those of a process are of its kernels with all of the basis."""


def with_error_bars(
    config: Config, structures: Sequence[Atoms], n_targets: Mapping[Group, int], made: Path
) -> tuple[Config, str | None]:
    """Return a workflow of matrices with error bars on or off, and what to say of the choice.

    Features and Gaussian processes in the frames of bonds have them, within memory_gb; kernels of pairs if asked.

    Args:
        config: the workflow; what it says stays.
        structures: training geometries.
        n_targets: number of targets of every group.
        made: settings of the run; if it was begun, it goes on as it was.
    """
    if config.model.error_bars is not None or not _has_cheap_ones(config):
        return config, None
    if made.exists():
        return _changed(config, load_config(made).model.error_bars), None
    n, most = len(structures), MOST_OF_PROCESS if type(config.model) is KernelRidgeSettings else MOST
    if not FEWEST <= n <= most:
        return config, f"model.error_bars, left out: none, for {n} training structures ({FEWEST} to {most} have them)"
    from hamlearn.learning.registry import new_learner

    chosen = _changed(config, True)
    try:
        new_learner(chosen.model).check(structures, n_targets, held_out=True)
    except ConfigError as error:
        return config, f"model.error_bars, left out: none, for {error}"
    return chosen, "model.error_bars, left out: fitted; --set model.error_bars=false is up to three times faster"


def _has_cheap_ones(config: Config) -> bool:
    model = config.model
    if type(model) is KernelRidgeSettings:
        return isinstance(model.kernel, BondFrameKernel)
    return type(model) is RidgeSettings


def _changed(config: Config, error_bars: bool | None) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update={"error_bars": error_bars})})
