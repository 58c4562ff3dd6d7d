"""Whether error bars say how large errors are."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from hamlearn.observables import reliability_curve
from hamlearn.plots.style import BLUE, GREY, VERMILION, add_legend, log_ticks
from hamlearn.types import FloatArray

FLOOR = 1e-2
"""Errors below this fraction of their standard deviation are drawn at it: how small a lucky error is says nothing."""


def error_against_std(ax: Axes, errors: FloatArray, stds: FloatArray, label: str) -> None:
    """Draw the size of every error against its error bar, log-log, with lines at one and two standard deviations.

    Of normal errors 68 % lie below the first line and 95 % below the second.

    Args:
        ax: where to draw.
        errors: predicted minus reference [n].
        stds: standard deviations, positive [n]; others are left out.
        label: what the numbers are, with their unit, such as "gap / meV".
    """
    drawn = np.isfinite(errors) & np.isfinite(stds) & (stds > 0)
    e, s = np.abs(errors[drawn]), stds[drawn]
    ax.set(xlabel=f"error bar of the {label}", ylabel=f"error of the {label}", xscale="log", yscale="log")
    if not s.size:
        ax.text(0.5, 0.5, "no error bars", transform=ax.transAxes, ha="center", color=GREY)
        return
    e = np.maximum(e, FLOOR * s)
    ends = np.array([s.min() / 1.2, 1.2 * s.max()])
    ax.plot(ends, ends, color=GREY, linewidth=1.2, label="1 standard deviation")
    ax.plot(ends, 2 * ends, color=GREY, linewidth=1.2, linestyle=(0, (4, 2)), label="2 standard deviations")
    ax.plot(s, e, linestyle="none", marker="o", markersize=3, alpha=0.5, color=BLUE, rasterized=True)
    log_ticks(ax.xaxis, s.tolist())
    log_ticks(ax.yaxis, e.tolist())
    add_legend(ax, loc="lower right")


def reliability(ax: Axes, errors: FloatArray, stds: FloatArray, label: str = "", colour: str = VERMILION) -> None:
    """Draw which fraction of errors lies in intervals expected to hold a fraction p; calibrated bars lie on the line.

    Args:
        ax: where to draw.
        errors: predicted minus reference [n].
        stds: standard deviations, in the same unit [n].
        label: name in the legend; none if empty.
        colour: of the curve.
    """
    expected, observed = reliability_curve(errors, stds)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, zorder=1)
    ax.plot(expected, observed, color=colour, linewidth=2, label=label or None)
    ax.set(xlabel="expected fraction of errors", ylabel="observed fraction of errors", xlim=(0, 1), ylim=(0, 1.02))
    if label:
        add_legend(ax, loc="lower right")
