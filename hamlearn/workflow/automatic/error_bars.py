"""Whether a run fits error bars where its file says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hamlearn.config import BondFrameKernel, Config, KernelRidgeSettings, RidgeSettings, SaphTarget
from hamlearn.errors import ConfigError
from hamlearn.workflow.automatic.rules import Choice

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.learning.groups import Group

FEWEST, MOST, MOST_OF_PROCESS = 20, 2000, 500
"""Training structures between which they are fitted: fewer do not tell their scale, of more all covariances take
longer than the fit; those of a process are of its kernels with all of the basis."""

IN_FULL = "in a full basis they take several times the time and memory of the fit; set model.error_bars: true for them"


def leaves_error_bars(config: Config) -> bool:
    """Return whether a workflow of matrices says nothing of error bars, and has a learner whose own cost little."""
    model = config.model
    cheap = (
        isinstance(model.kernel, BondFrameKernel)
        if type(model) is KernelRidgeSettings
        else type(model) is RidgeSettings
    )
    return model.error_bars is None and cheap and not config.is_property


def with_error_bars(
    config: Config, structures: Sequence[Atoms], n_targets: Mapping[Group, int]
) -> tuple[Config, list[Choice]]:
    """Return a workflow of matrices with error bars on or off, and the choice if it was open.

    Features and Gaussian processes in the frames of bonds have them for the few levels of a SAPH, within
    memory_gb; kernels of pairs and full bases if asked.

    Args:
        config: the workflow; what it says stays.
        structures: training geometries.
        n_targets: number of targets of every group.
    """
    if not leaves_error_bars(config):
        return config, []
    if not isinstance(config.target, SaphTarget):
        return _changed(config, False), [Choice("model.error_bars", "false", IN_FULL)]
    n, most = len(structures), MOST_OF_PROCESS if type(config.model) is KernelRidgeSettings else MOST
    setting = "model.error_bars"
    without, chosen = _changed(config, False), _changed(config, True)
    if not FEWEST <= n <= most:
        return without, [Choice(setting, "false", f"{n} training structures; {FEWEST} to {most} have them")]
    from hamlearn.learning.registry import new_learner

    try:
        new_learner(chosen.model).check(structures, n_targets, held_out=True)
    except ConfigError as error:
        return without, [Choice(setting, "false", str(error).partition("; ")[0])]  # what to do is done
    return chosen, [Choice(setting, "true", "set model.error_bars: false for fits several times faster")]


def _changed(config: Config, error_bars: bool) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update={"error_bars": error_bars})})
