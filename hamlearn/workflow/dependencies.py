"""What each stage of a run depends on and writes, and what other settings therefore make of a run folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hamlearn.artifacts import read_json, write_json, written_atomically
from hamlearn.workflow.automatic import CONFIG

if TYPE_CHECKING:
    from hamlearn.config import Config

EARLIER = "earlier"
"""Folder in that of a run, with what was made by earlier settings in folders 1, 2, ..."""
INPUT_HASH, SECONDS = "structures.sha256", "seconds.json"


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes:
        words: what it makes.
        files: what it writes in the run folder.
        settings: sections and settings it depends on; ``structures`` is the content of the file.
        times: its entries in the times of the run.
    """

    words: str
    files: tuple[str, ...]
    settings: tuple[str, ...]
    times: tuple[str, ...] = ()


_LEARNED = ("qm", "target", "model", "structures", "split.train", "split.seed")
_TESTED = (*_LEARNED, "split.test")
STAGES = {
    "qm": Stage("calculations", ("qm",), ("qm",), ("qm",)),  # of each molecule by itself: other structures keep them
    "targets": Stage(
        "targets",
        ("targets", "diagnostics.npz", "scf_states.json"),
        ("qm", "target", "structures", "split.train", "split.test", "split.seed"),
        ("targets",),
    ),
    "fit": Stage("model", ("model",), _LEARNED, ("features", "fit")),
    "evaluate": Stage(
        "predictions and errors",
        ("predictions", "evaluation.json", "test_levels.npz", "test_properties.npz"),
        _TESTED,
        ("predict",),
    ),
    "curve": Stage(
        "learning curve", ("curve", "half.json"), _TESTED
    ),  # point by point: other sizes keep the points there are
    "results": Stage(
        "results and report", ("results.json", "report.html", "figures"), (*_TESTED, "split.curve", "split.repeats")
    ),
}
"""The one place that says what a change of settings makes invalid."""

FREE = ("structures.file", "model.memory_gb", "model.time_minutes", "qm.store")
"""Settings that nothing depends on: where files lie, memory and time."""


@dataclass(frozen=True)
class Changes:
    """How settings and structures differ from those a run folder was made with.

    Attributes:
        differences: in words, one line each.
        stale: stages whose products do not go with them, in their order.
    """

    differences: tuple[str, ...]
    stale: tuple[str, ...]

    def in_words(self, out: Path) -> list[str]:
        """Say what differs, what is kept and what is made anew; before anything is put aside."""
        kept = [s.words for name, s in STAGES.items() if name not in self.stale and _written(out, [name])]
        anew = [STAGES[name].words for name in self.stale if _written(out, [name])]
        lines = [f"{out} was made with other settings:", *(f"  {line}" for line in self.differences)]
        lines.append(f"kept: {', '.join(kept) or 'nothing'}; made anew: {', '.join(anew) or 'nothing'}")
        return lines


def changes(old: Config, new: Config, other_structures: bool) -> Changes:
    """Return how settings, and the content of the structures file, differ from those of a run folder."""
    from hamlearn.config import compare_configs

    differences = [line for line in compare_configs(old, new) if line.partition(":")[0] not in FREE]
    names = [line.partition(":")[0] for line in differences]
    if other_structures:
        differences.append(f"structures: {new.structures.file} has changed since")
        names.append("structures")
    return Changes(tuple(differences), tuple(stages_of(names)))


def stages_of(names: Iterable[str]) -> list[str]:
    """Return the stages that depend on some settings, such as ``model.features.max_l``."""
    names = list(names)
    return [
        stage
        for stage, declared in STAGES.items()
        if any(f"{name}.".startswith(f"{setting}.") for setting in declared.settings for name in names)
    ]


def put_aside(out: Path, stages: Sequence[str]) -> Path | None:
    """Move what stages wrote to ``earlier/N`` of a run folder, beside a copy of the settings it was made with.

    Each thing moves at once, the last of a run first: what is left after a kill is whole as far as it goes, and a call
    that was killed is finished by the next one, in the same folder.

    Returns:
        The folder; None if there was nothing.
    """
    found = _written(out, stages)
    if not found:
        return None
    folder = _folder(out, found)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, INPUT_HASH, SECONDS):
        if (out / name).exists() and not (folder / name).exists():
            with written_atomically(folder / name) as temporary:
                shutil.copyfile(out / name, temporary)
    _forget_times(out, stages)
    for name in reversed(found):
        os.replace(out / name, folder / name)
    return folder


def earlier_folders(out: Path) -> list[Path]:
    """Return what was put aside, oldest first."""
    if not (out / EARLIER).is_dir():
        return []
    numbered = [path for path in (out / EARLIER).iterdir() if path.name.isdigit()]
    return sorted(numbered, key=lambda path: int(path.name))


def _written(out: Path, stages: Iterable[str]) -> list[str]:
    return [name for stage in stages for name in STAGES[stage].files if (out / name).exists()]


def _folder(out: Path, names: Iterable[str]) -> Path:
    """Return a new folder for what is put aside, or the last one if a call with the same settings was killed there."""
    last = next(reversed(earlier_folders(out)), None)
    if last is None:
        return out / EARLIER / "1"
    is_free = not any((last / name).exists() for name in names)
    try:
        same = (last / CONFIG).read_bytes() == (out / CONFIG).read_bytes()
    except FileNotFoundError:  # killed before that was written
        same = not any(last.iterdir())
    return last if is_free and same else out / EARLIER / str(int(last.name) + 1)


def _forget_times(out: Path, stages: Iterable[str]) -> None:
    """Remove the times of stages from those of the run."""
    if (out / SECONDS).exists():
        gone = {time for stage in stages for time in STAGES[stage].times}
        times = read_json(out / SECONDS, "seconds", 1, "delete it and run again")
        write_json(out / SECONDS, "seconds", 1, {name: t for name, t in times.items() if name not in gone})
