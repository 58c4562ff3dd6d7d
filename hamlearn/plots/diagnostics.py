"""Distributions of numbers that say how well a step went."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hamlearn.plots.style import BLUE, GREY, bin_count
from hamlearn.types import FloatArray


def histogram(ax: Axes, values: FloatArray, xlabel: str) -> None:
    """Draw how many structures have each value, and mark the smallest.

    Args:
        ax: where to draw.
        values: one per structure; infinite values (nothing to measure) are left out.
        xlabel: what is counted, with its unit.
    """
    finite = values[np.isfinite(values)]
    ax.set(xlabel=xlabel, ylabel="structures")
    if not finite.size:
        ax.text(0.5, 0.5, "no finite values", transform=ax.transAxes, ha="center", color=GREY)
        return
    width = max(np.ptp(finite), 1e-3 * abs(finite).max(), 1e-12)
    ax.hist(finite, bins=bin_count(finite.size, 24), range=(finite.min(), finite.min() + width), color=BLUE, alpha=0.75)
    ax.axvline(finite.min(), color=GREY, linestyle=(0, (4, 2)), linewidth=1.2)
    ax.set_title(f"smallest: {finite.min():.3g}", loc="left", fontweight="normal", color=GREY, fontsize=9)
    ax.ticklabel_format(axis="x", useOffset=False)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.grid(axis="x", visible=False)
