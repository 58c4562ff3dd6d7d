"""What a run of a workflow would choose and take, without running it."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hamlearn.config import Config, load_config
from hamlearn.errors import HamlearnError, check_type
from hamlearn.job import Job
from hamlearn.workflow.automatic.choosing import leaves_features, leaves_target
from hamlearn.workflow.automatic.plan import Plan


def plan(config: Config | str | Path, *, executor: str = "local") -> Plan:
    """Return all settings of a new run, why they were chosen, and what it is expected to take.

    Nothing is written. Where settings are left out a few Fock matrices of a guess are computed, and at most 20 SCFs in
    STO-3G.

    Args:
        config: the workflow, or its file.
        executor: where calculations would run, see :func:`hamlearn.parallel.open_executor`.

    Raises:
        HamlearnError: for whatever a run refuses before its calculations, budgets that nothing fits among them.
    """
    check_type(config, (Config, str, os.PathLike), "config", "the path of a workflow file, or Config(**sections)")
    config = config if isinstance(config, Config) else load_config(config)
    if config.is_property:
        return Plan(config, (), None)
    from hamlearn.workflow.stages import Run

    with TemporaryDirectory() as nowhere:
        work = Run(config, Path(nowhere), Job(None, executor, label=""))
        work.check_input()
    assert work.plan is not None
    return work.plan


def resolved(config: Config) -> tuple[Config, str | None]:
    """Return what a new run of a workflow would choose, and why not where its molecules are not accepted."""
    if not (leaves_target(config) or leaves_features(config)):
        return config, None
    try:
        return plan(config, executor="serial").config, None
    except HamlearnError as error:
        return config, f"what is left out a run chooses for its molecules, but {error}"
