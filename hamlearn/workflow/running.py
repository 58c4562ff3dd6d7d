"""One workflow from geometries to errors, resumable at every stage."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hamlearn.artifacts import written_atomically
from hamlearn.config import Config, compare_configs, dump_config, installed_versions, load_config
from hamlearn.errors import ArtifactError, ConfigError
from hamlearn.parallel import folder_lock

if TYPE_CHECKING:
    from hamlearn.workflow.run_folder import RunFolder

CONFIG = "config.yaml"
INPUT_HASH = "structures.sha256"
MAY_CHANGE = ("structures.file:", "model.memory_gb:")
"""Settings that may differ when a run goes on: where the file lies (its content is compared), and the memory."""


@dataclass(frozen=True)
class RunResult:
    """What a run gave.

    Attributes:
        results: content of results.json; None if the run stopped at an earlier stage.
        failures: reason of every failed calculation, by index in the structures file.
        report: path of report.html; None without results.
    """

    results: dict[str, Any] | None
    failures: dict[int, str]
    report: Path | None


def run(
    config: Config,
    out: str | Path,
    *,
    executor: str = "local",
    until: str | None = None,
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
    echo: Callable[[str], None] | None = print,
) -> RunResult:
    """Run a workflow in a folder, continuing from whatever the folder holds.

    Args:
        config: the workflow.
        out: run folder; made if absent.
        executor: where calculations run, see :func:`hamlearn.parallel.open_executor`.
        until: last stage to run (qm, targets, fit, evaluate, curve); None for all and the report. A property has no
            stages qm and targets.
        shard: (i, n): compute only every n-th calculation, for job arrays; implies ``until="qm"``.
        retry_failed: compute again what failed before.
        echo: receives progress lines; None for silence.

    Raises:
        ArtifactError: if the folder holds a run with other settings or structures, or is in use.
        HamlearnError: for unacceptable structures or settings; nothing is computed then.
    """
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ArtifactError(f"{out} is a file; give a folder for the run")
    kind = _kind_of_run(config)
    if until not in (None, *kind.STAGES) or (shard and ("qm" not in kind.STAGES or not 0 <= shard[0] < shard[1])):
        hint = "; a property is read from the file, nothing is computed" if config.is_property else ""
        raise ConfigError(
            f"until = {until}, shard = {shard}: expected one of {kind.STAGES} and (i, n) with 0 <= i < n{hint}"
        )
    stages = kind.STAGES[: kind.STAGES.index(until) + 1] if until else kind.STAGES
    job: Any = kind(config, out, executor, echo or (lambda line: None))
    job.check_input()
    _refuse_strangers(out)
    out.mkdir(parents=True, exist_ok=True)
    with folder_lock(out, shard):
        _claim(config, out)
        failures: dict[int, str] = {}
        if "qm" in stages:
            failures = job.qm(("qm",) if shard else stages, shard, retry_failed)
            if shard or stages == ("qm",):
                return RunResult(None, failures, None)
        for stage in stages:
            if stage != "qm":
                getattr(job, stage)()
        if "evaluate" not in stages:
            return RunResult(None, failures, None)
        results = job.results(peak_memory_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)
        return RunResult(results, failures, job.report() if until is None else None)


def _kind_of_run(config: Config) -> type[RunFolder]:
    """Return the class of runs that learn the target."""
    if config.is_property:
        from hamlearn.workflow.property_stages import PropertyRun

        return PropertyRun
    from hamlearn.workflow.stages import Run

    return Run


def _refuse_strangers(out: Path) -> None:
    """Raise ArtifactError if the folder holds files but no run."""
    if not out.exists() or (out / CONFIG).exists():
        return
    strangers = sorted(item.name for item in out.iterdir() if not item.name.startswith(".") and item.name != INPUT_HASH)
    if strangers:
        raise ArtifactError(
            f"{out} is not empty ({', '.join(strangers[:5])}) and holds no run; give a new folder or that of a run"
        )


def _claim(config: Config, out: Path) -> None:
    """Write the resolved settings of a new run, or check that the folder was made with the same."""
    digest = hashlib.sha256(Path(config.structures.file).read_bytes()).hexdigest()
    path = out / CONFIG
    if not path.exists():
        with written_atomically(out / INPUT_HASH) as temporary:
            temporary.write_text(digest + "\n")
        with written_atomically(path) as temporary:
            temporary.write_text(dump_config(config, installed_versions()))
        return
    differences = [line for line in compare_configs(load_config(path), config) if not line.startswith(MAY_CHANGE)]
    if differences:
        listed = "\n  ".join(differences)
        raise ArtifactError(f"{out} was made with other settings; give a new folder, or undo:\n  {listed}")
    if (out / INPUT_HASH).exists() and (out / INPUT_HASH).read_text().strip() != digest:
        raise ArtifactError(
            f"{config.structures.file} has changed since {out} was made; restore the file or give a new folder"
        )
