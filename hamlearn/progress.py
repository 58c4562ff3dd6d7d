"""How far a long job is: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from hamlearn.types import Echo

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts finished items and says how long the rest will take.

    Args:
        label: what is being done.
        total: number of items.
        echo: takes a line of text; None for silence.
    """

    def __init__(self, label: str, total: int, echo: Echo) -> None:
        self.label, self.total, self.echo = label, total, echo
        self.done = self.failed = 0
        self.started = self.last_line = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if self.echo is not None and self.total and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar

            self.bar = Bar(console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task(self.label, total=self.total)
        return self

    def advance(self, failed: bool = False, count: int = 1) -> None:
        """Count one more item, or several."""
        self.done += count
        self.failed += failed
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, description=f"{self.label}{self._failures()}")
        elif self.echo is not None and time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.echo(self.line())

    def line(self) -> str:
        """Return where the job stands, with the time the rest will take at the speed so far."""
        seconds = time.monotonic() - self.started
        text = f"{self.label}: {self.done} of {self.total} done{self._failures()} in {duration(seconds)}"
        if 0 < self.done < self.total:
            text += f", about {duration(seconds / self.done * (self.total - self.done))} left"
        return text

    def _failures(self) -> str:
        return f", {self.failed} failed" if self.failed else ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
        if self.echo is not None and self.total:
            self.echo(self.line())


def duration(seconds: float) -> str:
    """Return a time such as ``'7 s'``, ``'3 min 20 s'`` or ``'2 h 5 min'``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
