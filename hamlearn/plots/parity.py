"""Predicted against known numbers."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from hamlearn.display import number
from hamlearn.plots.style import BLUE, GREY
from hamlearn.types import FloatArray


def parity(ax: Axes, reference: FloatArray, predicted: FloatArray, label: str, std: FloatArray | None = None) -> None:
    """Draw predicted against known numbers; a perfect prediction lies on the line.

    Args:
        ax: where to draw.
        reference: known [n].
        predicted: in the same order [n].
        label: what the numbers are, with their unit.
        std: standard deviations of the predictions [n], drawn as bars; None or NaN for none.
    """
    both = np.concatenate([reference, predicted])
    margin = 0.05 * (np.ptp(both) or 1.0)
    limits = (both.min() - margin, both.max() + margin)
    ax.plot(limits, limits, color=GREY, linewidth=0.9, zorder=1)
    if std is not None and np.isfinite(std).any():
        ax.errorbar(reference, predicted, yerr=std, fmt="none", ecolor=BLUE, alpha=0.25, linewidth=1)
    ax.plot(reference, predicted, linestyle="none", marker="o", markersize=3, alpha=0.5, color=BLUE, rasterized=True)
    rmse = float(np.sqrt(np.mean((predicted - reference) ** 2)))
    ax.set_title(f"RMSE {number(rmse)}", loc="left", fontweight="normal", color=GREY, fontsize=9)
    ax.set(xlabel=f"known {label}", ylabel=f"predicted {label}", xlim=limits, ylim=limits)
    ax.locator_params(nbins=5)  # few ticks, so that each may have all its digits
    ax.ticklabel_format(style="plain", useOffset=False)
