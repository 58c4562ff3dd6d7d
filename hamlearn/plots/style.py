"""The look of all figures: colours that colour-blind readers can tell apart, few lines, units on every axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe and Ito's palette; every use also differs in marker or place, for print in grey.
BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#AA4499", "#667085"
OCCUPIED, VIRTUAL = BLUE, VERMILION
INK = "#1d2939"

STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#98a2b3",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": "#eaecf0",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": "#475467",
    "ytick.color": "#475467",
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
}


def new_figure(width: float = 4.7, height: float = 3.6) -> tuple[Figure, Axes]:
    """An empty figure of the house style, sizes in inch, and its Axes."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.add_subplot()


def save_figure(figure: Figure, path: Path, dpi: int = 160) -> None:
    """Write a figure as PNG in the house style."""
    with rc_context(STYLE):
        figure.savefig(path, dpi=dpi, format="png")


def add_legend(ax: Axes, **placement: Any) -> Legend:
    """A legend without a frame, its markers opaque."""
    legend = ax.legend(frameon=False, fontsize=9, handletextpad=0.4, labelcolor=INK, **placement)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)
    return legend


def legend_marker(label: str, colour: str, marker: str, hollow: bool = False) -> Line2D:
    """An entry of a legend that shows one marker."""
    face = "white" if hollow else colour
    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=6.5, color=colour, markerfacecolor=face, label=label
    )


def bin_count(values: int, most: int) -> int:
    """How many bins a histogram of so many values should have."""
    return min(most, 4 + int(2 * values**0.5))


def plain_number(value: float) -> str:
    """``value`` without needless digits: 1000, 20, 0.5; as a power of ten where it is tiny."""
    if 0 < value < 9e-5:
        factor, exponent = f"{value:.0e}".split("e")
        return ("$" if factor == "1" else f"${factor}\\times") + f"10^{{{int(exponent)}}}$"
    return f"{value:,.0f}".replace(",", "\u202f") if value >= 1000 else f"{value:g}"


def log_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Label a logarithmic axis with plain numbers, often enough for the range of ``values``."""
    positive = [value for value in values if value > 0]
    decades = np.log10(max(positive) / min(positive)) if positive else 1.0
    axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2.5 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    axis.set_minor_formatter(NullFormatter())
