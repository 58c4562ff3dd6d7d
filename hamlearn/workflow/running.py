"""One workflow from geometries to errors, resumable at every stage."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hamlearn.artifacts import written_atomically
from hamlearn.config import Config, dump_config, installed_versions, load_config
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ArtifactError, ConfigError, check_type
from hamlearn.job import Job
from hamlearn.parallel import folder_lock
from hamlearn.parallel.machine import peak_memory_gb
from hamlearn.types import Echo
from hamlearn.workflow.dependencies import CONFIG, INPUT_HASH, Changes, changes, put_aside
from hamlearn.workflow.new_folders import refuse_used

if TYPE_CHECKING:
    from hamlearn.workflow.property_stages import PropertyRun
    from hamlearn.workflow.stages import Run

SECONDS_TO_WAIT = 60.0
"""For another shard that makes a folder fit new settings."""
SECONDS_BETWEEN_TRIES = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class RunResult(ByValue, Shown):
    """What a run gave.

    Attributes:
        results: content of results.json; None if the run stopped at an earlier stage.
        failures: reason of every failed calculation, by index in the structures file.
        report: path of report.html; None without results.
    """

    results: dict[str, Any] | None
    failures: dict[int, str]
    report: Path | None

    def shown(self) -> dict[str, object]:
        """Return the numbers of the results, how many calculations failed, and where the report is."""
        numbers = {name: x for name, x in (self.results or {}).items() if isinstance(x, int | float)}
        return {**numbers, "failures": len(self.failures), "report": self.report}


def run(
    config: Config | str | Path,
    out: str | Path,
    *,
    executor: str = "local",
    until: str | None = None,
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
    echo: Echo = print,
    qm_from: str | Path | Sequence[str | Path] = (),
) -> RunResult:
    """Run a workflow in a folder, continuing from whatever the folder holds.

    In a folder made with other settings, or of other structures, what does not depend on the change is kept; the rest
    is moved to ``earlier/N`` and made anew, after saying what.

    Args:
        config: the workflow, or its file.
        out: run folder; made if absent.
        executor: where calculations run, see :func:`hamlearn.parallel.open_executor`.
        until: last stage to run (qm, targets, fit, evaluate, curve); None for all and the report. A property has no
            stages qm and targets.
        shard: (i, n): compute only every n-th calculation, for job arrays; implies ``until="qm"``.
        retry_failed: compute again what failed before.
        echo: receives progress lines; None for silence.
        qm_from: folders of other runs, evaluations or campaigns, one or several, whose calculations to take.

    Raises:
        ArtifactError: if the folder holds something else than a run, or is in use; if one to take calculations from
            holds none, or other settings.
        HamlearnError: for unacceptable structures or settings; nothing is computed then.
    """
    check_type(config, (Config, str, os.PathLike), "config", "the path of a workflow file, or Config(**sections)")
    check_type(out, (str, os.PathLike), "out", "the path of a folder")
    config, out = config if isinstance(config, Config) else load_config(config), Path(out)
    job = Job(echo, executor, label="")
    work = _new_run(config, out, job, shard, retry_failed, qm_from)
    names = tuple(work.stages)
    if config.is_property and (shard or qm_from or until in ("qm", "targets")):
        raise ConfigError("a property is read from the file, nothing is computed; use hamlearn run")
    if until not in (None, *names) or (shard and not 0 <= shard[0] < shard[1]):
        raise ConfigError(f"until = {until}, shard = {shard}: expected one of {names} and (i, n) with 0 <= i < n")
    last = "qm" if shard else until or names[-1]
    chosen = names[: names.index(last) + 1]
    if config.qm is not None and last != "qm":
        config.qm.check_turns_with_molecule()
    work.check_input()
    if not (out / CONFIG).exists():
        refuse_used(out, (INPUT_HASH,), "it holds no run: give a new folder or that of a run")
    out.mkdir(parents=True, exist_ok=True)
    if shard:
        _claim_as_one_of_many(work.config, out, job)
    with folder_lock(out, shard):
        _claim(work.config, out, job)
        for name in chosen:
            work.stages[name]()
        if "evaluate" not in chosen:
            return RunResult(None, work.failures, None)
        results = work.results(peak_memory_gb=peak_memory_gb())
        return RunResult(results, work.failures, work.report() if until is None else None)


def _new_run(
    config: Config,
    out: Path,
    job: Job,
    shard: tuple[int, int] | None,
    retry_failed: bool,
    qm_from: str | Path | Sequence[str | Path],
) -> Run | PropertyRun:
    """Return the run that learns the target."""
    if config.is_property:
        from hamlearn.workflow.property_stages import PropertyRun

        return PropertyRun(config, out, job)
    from hamlearn.workflow.stages import Run

    sources = [qm_from] if isinstance(qm_from, str | Path) else list(qm_from)
    return Run(config, out, job, shard, retry_failed, sources)


def _claim(config: Config, out: Path, job: Job) -> None:
    """Write the resolved settings of a run, and put aside what a folder holds that does not go with them.

    What is stale goes before the new settings are written: killed in between, the next call does the rest.
    """
    path = out / CONFIG
    if path.exists():
        changed = _changes(config, out)
        if changed is None:
            return
        for line in changed.in_words(out):
            job.say(line)
        if (aside := put_aside(out, changed.stale)) is not None:
            job.say(f"what was made before is in {aside}")
    with written_atomically(out / INPUT_HASH) as temporary:
        temporary.write_text(_digest(config) + "\n")
    with written_atomically(path) as temporary:
        temporary.write_text(dump_config(config, installed_versions()))


def _claim_as_one_of_many(config: Config, out: Path, job: Job) -> None:
    """Make a folder fit other settings as the only shard that does, or wait until another has done it.

    Raises:
        ArtifactError: if the folder stays in use with the settings it has.
    """
    end = time.monotonic() + SECONDS_TO_WAIT
    while _changes(config, out) is not None:  # or another has, and may go on in the folder at once
        try:
            with folder_lock(out):
                _claim(config, out, job)
        except ArtifactError:
            if time.monotonic() >= end:
                raise
            time.sleep(SECONDS_BETWEEN_TRIES)


def _changes(config: Config, out: Path) -> Changes | None:
    """Return how settings and structures differ from those of a folder; None if they do not, or it is new."""
    if not (out / CONFIG).exists():
        return None
    hashed = out / INPUT_HASH
    found = changes(
        load_config(out / CONFIG), config, hashed.exists() and hashed.read_text().strip() != _digest(config)
    )
    return found if found.differences else None


def _digest(config: Config) -> str:
    return hashlib.sha256(Path(config.structures.file).read_bytes()).hexdigest()
