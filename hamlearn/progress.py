"""How far a long job is: a bar on a terminal, a line that renews itself in a notebook, lines now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from hamlearn.types import Echo

SECONDS_BETWEEN_LINES = 10.0
SECONDS_IN_A_NOTEBOOK = 0.5


class Progress:
    """Counts finished items and says how long the rest will take, by what each of them costs.

    Args:
        label: what is being done.
        items: the cost of each, in any unit; or their number, where they cost the same.
        echo: takes a line of text; None for silence.
    """

    def __init__(self, label: str, items: int | Sequence[float], echo: Echo) -> None:
        self.label, self.echo = label, echo
        self.is_weighted = not isinstance(items, int)
        self.costs = [1.0] * items if isinstance(items, int) else [float(cost) for cost in items]
        self.total, self.cost = len(self.costs), sum(self.costs)
        self.done = self.failed = 0
        self.spent = 0.0
        self.started = self.last_line = time.monotonic()
        self.show: Callable[[], None] | None = None
        self.close: Callable[[], None] = lambda: None

    def __enter__(self) -> Progress:
        if self.echo is not None and self.total:
            if sys.stderr.isatty():
                self._open_bar()
            elif "ipykernel" in sys.modules:
                self._open_line()
        return self

    def advance(self, failed: bool = False, count: int = 1, items: Sequence[int] | None = None) -> None:
        """Count what has finished: one item more, or several, in order; or those at some places of the list."""
        places = range(self.done, min(self.done + count, self.total)) if items is None else items
        self.done += len(places)
        self.spent += sum(self.costs[place] for place in places)
        self.failed += failed
        if self.show is not None:
            self.show()
        elif self.echo is not None and time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            self.echo(self.line())

    @property
    def fraction(self) -> float:
        """How much of the work is done, by cost; 1 once all items are."""
        if self.done >= self.total:
            return 1.0
        return min(self.spent / self.cost, 1.0) if self.cost else self.done / self.total

    def line(self) -> str:
        """Return where the job stands, with the time the rest will take at the speed so far."""
        seconds = time.monotonic() - self.started
        text = f"{self.label}: {self.done} of {self.total} done{self._failures()}"
        if self.done < self.total and self.is_weighted:
            text += f", {100 * self.fraction:.0f} % of the work,"
        text += f" in {duration(seconds)}"
        if 0 < self.fraction < 1:
            text += f", about {duration(seconds * (1 / self.fraction - 1))} left"
        return text

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Bar

        bar = Bar(console=Console(stderr=True), transient=True)
        bar.start()
        task = bar.add_task(self.label, total=1.0)
        self.show = lambda: bar.update(
            task, completed=self.fraction, description=f"{self.label}{self._failures()}", refresh=False
        )
        self.close = bar.stop

    def _open_line(self) -> None:
        """Write over one line of the output of a cell: needs neither widgets nor IPython itself."""

        def show() -> None:
            if time.monotonic() - self.last_line >= SECONDS_IN_A_NOTEBOOK:
                self.last_line = time.monotonic()
                print(f"\r{self.line():<100}", end="", flush=True)

        self.show = show
        self.close = lambda: print(f"\r{'':<100}", end="\r", flush=True)

    def _failures(self) -> str:
        return f", {self.failed} failed" if self.failed else ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
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
