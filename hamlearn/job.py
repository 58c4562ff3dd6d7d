"""How long work runs: what it says, where it computes, where it keeps files; no part of any result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from hamlearn.errors import ConfigError, check_type
from hamlearn.parallel import open_executor
from hamlearn.progress import Progress
from hamlearn.types import Echo


@dataclass(frozen=True)
class Job:
    """What long work needs beside its input; by default silent, in this process, without a trace on disk.

    Attributes:
        echo: receives lines about the progress; None for silence.
        executor: where tasks run, see :func:`hamlearn.parallel.open_executor`.
        scratch: folder that keeps the kernels of fits and predictions, so that a fit that was killed goes on and models
            of other targets find them; None: those of a fit go to a temporary one.
        label: begins the lines about the progress.

    Raises:
        ConfigError: for anything else, such as an executor that is not known.
    """

    echo: Echo = None
    executor: str = "serial"
    scratch: Path | None = None
    label: str = "fit"

    def __post_init__(self) -> None:
        if self.echo is not None and not callable(self.echo):
            raise ConfigError(f"echo is a {type(self.echo).__name__}, expected a function of a line, such as print")
        check_type(self.executor, str, "executor", "a name or path such as 'serial' or 'local:4'")
        self.open_executor()  # refuses a wrong one; opened when entered
        check_type(self.scratch, (str, os.PathLike, type(None)), "scratch", "the path of a folder, or None")
        if self.scratch is not None:
            object.__setattr__(self, "scratch", Path(self.scratch))

    def say(self, line: str) -> None:
        """Pass on a line, unless in silence."""
        if self.echo is not None:
            self.echo(line)

    def progress(self, what: str, items: int | Sequence[float]) -> Progress:
        """Return a counter of finished items that says how long the rest will take, to be entered with ``with``.

        Args:
            what: the items.
            items: the cost of each, or their number where they cost the same.
        """
        return Progress(f"{self.label}, {what}" if self.label else what, items, self.echo)

    def open_executor(self, threads: int = 1) -> AbstractContextManager[Executor]:
        """Return a context manager that gives the executor.

        Args:
            threads: BLAS and OpenMP threads of each worker.

        Raises:
            ConfigError: if there is no executor of this name.
        """
        return open_executor(self.executor, threads)

    def called(self, label: str) -> Job:
        """Return the same job whose lines begin with another label."""
        return replace(self, label=label)


def check_job(job: object) -> None:
    """Raise ConfigError unless a job was given."""
    check_type(job, Job, "job", "a Job, such as Job(echo=print)")


SILENT = Job()
"""In this process, without a word."""
