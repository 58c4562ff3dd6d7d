"""A plan: the settings of a run, why each was chosen, and what the run is expected to take, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hamlearn.config import Config
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.workflow.automatic.costs import Costs
from hamlearn.workflow.automatic.rules import Choice


@dataclass(frozen=True, eq=False, repr=False)
class Plan(ByValue, Shown):
    """What a run will do.

    Attributes:
        config: with all settings; `hamlearn.run` takes it.
        choices: which settings were left out, what was chosen for them, and why; others as the workflow has them.
        costs: expected; None for properties, which need no calculation.
    """

    config: Config
    choices: tuple[Choice, ...]
    costs: Costs | None

    def shown(self) -> dict[str, object]:
        """Return the choices and expected minutes."""
        chosen = {choice.setting: choice.value for choice in self.choices}
        return {**chosen, "minutes": None if self.costs is None else round(self.costs.total_s / 60, 1)}

    def lines(self) -> list[str]:
        """Return the table: settings, then what is expected."""
        rows = [(choice.setting, choice.value, choice.why) for choice in self.choices]
        out = aligned([("setting", "chosen", "why"), *rows])
        return out if self.costs is None else [*out, "", *aligned(cost_rows(self.costs, self.config))]

    def _repr_html_(self) -> str:
        from hamlearn.display import html_table

        rows = [(choice.setting, choice.value, choice.why) for choice in self.choices]
        return html_table("Plan", rows + ([] if self.costs is None else cost_rows(self.costs, self.config)[1:]))


def cost_rows(costs: Costs, config: Config) -> list[tuple[str, str, str]]:
    """Return what is expected of every stage, in words."""
    n = config.split.train + config.split.test
    rows = [
        ("expected", "time", ""),
        ("calculations", duration(costs.calculations_s), f"{n} of {duration(costs.calculation_s)} on one core"),
    ]
    if costs.fits is None:
        rows.append(("fit", "not estimated", f"at most {config.model.memory_gb:g} GB"))
    else:
        last = costs.fits[-1]
        sizes = f"{max(0.1, last.memory_gb):.1f} GB, at most {last.most_features} features of one symmetry"
        rows.append(("fit", duration(last.seconds), sizes))
        if len(costs.fits) > 1:
            rows.append(("learning curve", duration(sum(fit.seconds for fit in costs.fits[:-1])), ""))
    if costs.guess_s:
        share = f"{costs.guess_s / costs.calculation_s:.1f} of a calculation, for its guess"
        rows.append(("a prediction", duration(costs.guess_s), share))
    else:
        rows.append(("a prediction", "milliseconds" if config.model.kind == "ridge" else "not estimated", "no guess"))
    rows.append(("disk", f"{max(1.0, 1e3 * costs.disk_gb):.0f} MB", "calculations and targets"))
    return rows


def duration(seconds: float) -> str:
    """Return a time to two digits, in the unit that suits."""
    if seconds < 0.1:
        return f"{1e3 * seconds:.0f} ms"
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.2g} s"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines with columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
