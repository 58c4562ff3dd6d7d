"""Energy levels: predicted against computed, their errors, and the ladder of one molecule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from hamlearn.display import number
from hamlearn.plots.style import GREY, OCCUPIED, VIRTUAL, add_legend, bin_count, legend_marker, log_ticks
from hamlearn.types import BoolArray, FloatArray

DEEPEST_EV = -80.0
HIGHEST_EV = 60.0
"""Core levels lie below, valence levels above: where a linear axis in eV starts."""


def eigenvalue_parity(ax: Axes, reference_ev: FloatArray, predicted_ev: FloatArray, occupied: BoolArray) -> None:
    """Draw predicted against computed levels, eV; core levels are left outside the view, and that is said.

    Args:
        ax: where to draw.
        reference_ev: computed levels [level], eV.
        predicted_ev: predicted levels [level], eV, in the same order.
        occupied: which levels are occupied [level].
    """
    seen = reference_ev > DEEPEST_EV
    if not seen.any():
        seen[:] = True
    both = np.concatenate([reference_ev[seen], predicted_ev[seen]])
    margin = 0.05 * max(np.ptp(both), 1.0)
    limits = (both.min() - margin, both.max() + margin)
    ax.plot(limits, limits, color=GREY, linewidth=0.9, zorder=1)
    for mask, label, colour, marker in _classes(occupied & seen, ~occupied & seen):
        ax.plot(
            reference_ev[mask],
            predicted_ev[mask],
            linestyle="none",
            marker=marker,
            markersize=4,
            markeredgewidth=0,
            alpha=0.5,
            color=colour,
            label=label,
        )
    ax.set(xlim=limits, ylim=limits, xlabel="PySCF level / eV", ylabel="predicted level / eV")
    ax.set_aspect("equal")
    add_legend(ax, loc="upper left")
    if not seen.all():
        note = f"{np.count_nonzero(~seen)} core levels below −{-DEEPEST_EV:g} eV\nlie outside the view"
        ax.text(0.97, 0.03, note, transform=ax.transAxes, ha="right", va="bottom", fontsize=8, color=GREY)


def error_histogram(ax: Axes, errors_ev: FloatArray, occupied: BoolArray) -> None:
    """Draw how often errors of each magnitude occur; a dashed line marks the RMSE of each class.

    Args:
        ax: where to draw.
        errors_ev: predicted minus computed levels [level], eV.
        occupied: which levels are occupied [level].
    """
    magnitude = np.maximum(np.abs(1e3 * errors_ev), 1e-9)  # meV; exact zeros have no logarithm
    low = max(np.floor(np.log10(magnitude.min())), np.ceil(np.log10(magnitude.max())) - 5)
    bins = np.logspace(low, np.log10(1.3 * magnitude.max()), 1 + bin_count(len(magnitude), 48)).tolist()
    for mask, label, colour, _ in _classes(occupied, ~occupied):
        values = np.maximum(magnitude[mask], bins[0])
        rmse = float(np.sqrt(np.mean(magnitude[mask] ** 2)))
        ax.hist(values, bins=bins, color=colour, alpha=0.35, histtype="stepfilled")
        legend = f"{label}: RMSE {number(rmse)} meV"
        ax.hist(values, bins=bins, color=colour, linewidth=1.4, histtype="step", label=legend)
        ax.axvline(rmse, color=colour, linestyle=(0, (4, 2)), linewidth=1.3)
    ax.set(xscale="log", xlim=(bins[0], bins[-1]), xlabel="|error| / meV", ylabel="levels")
    log_ticks(ax.xaxis, [bins[0], bins[-1]])
    ax.set_ylim(top=1.25 * ax.get_ylim()[1])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    add_legend(ax, loc="upper left", handlelength=1.2)


def level_errors(ax: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw RMSE (filled) and MAE (open) of every level, named from the frontier: HOMO-1, HOMO, LUMO, ...

    Args:
        ax: where to draw.
        rows: one per level in order of energy, with ``level``, ``occupied``, ``rmse_mev``, ``mae_mev``.
    """
    for place, row in enumerate(rows):
        colour = OCCUPIED if row["occupied"] else VIRTUAL
        marker = "o" if row["occupied"] else "D"
        ax.plot([place, place], [0, row["rmse_mev"]], color=colour, linewidth=2, alpha=0.35, zorder=1)
        ax.plot(place, row["rmse_mev"], marker=marker, markersize=7, color=colour)
        ax.plot(place, row["mae_mev"], marker=marker, markersize=6, color=colour, markerfacecolor="white")
    step = 1 + len(rows) // 40
    places = range(0, len(rows), step)
    labels = [str(rows[place]["level"]).replace("-", "−") for place in places]
    crowded = len(labels) > 9
    ax.set_xticks(places, labels, rotation=60 if crowded else 0, ha="right" if crowded else "center")
    ax.set(xlim=(-0.7, len(rows) - 0.3), ylabel="error on the test set / meV")
    ax.set_ylim(bottom=0)
    ax.grid(axis="x", visible=False)
    handles = [
        legend_marker("RMSE", GREY, "o"),
        legend_marker("MAE", GREY, "o", hollow=True),
        legend_marker("occupied", OCCUPIED, "o"),
        legend_marker("virtual", VIRTUAL, "D"),
    ]
    add_legend(ax, handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)


def spectrum(
    ax: Axes, reference_ev: FloatArray, predicted_ev: FloatArray, occupied: BoolArray, title: str = ""
) -> None:
    """Draw the levels of one molecule as two ladders, computed and predicted, with the gap between them.

    Args:
        ax: where to draw.
        reference_ev: computed levels [level], eV, ascending.
        predicted_ev: predicted levels [level], eV, ascending.
        occupied: which levels are occupied [level].
        title: above the ladders.
    """
    seen = reference_ev > DEEPEST_EV
    for mask, _, colour, _ in _classes(occupied & seen, ~occupied & seen):
        ax.hlines(reference_ev[mask], 0.0, 0.9, color=colour, linewidth=2)
        ax.hlines(predicted_ev[mask], 1.1, 2.0, color=colour, linewidth=2)
    for left, levels in ((0.12, reference_ev), (1.22, predicted_ev)):
        if occupied.any() and not occupied.all():
            homo, lumo = levels[occupied].max(), levels[~occupied].min()
            arrow = {"arrowstyle": "<->", "color": GREY, "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", (left, lumo), (left, homo), arrowprops=arrow)
            ax.text(left + 0.06, 0.5 * (homo + lumo), f"{lumo - homo:.3f} eV", va="center", color=GREY)
    ax.set_xticks([0.45, 1.55], ["PySCF", "predicted"])
    ax.set(xlim=(-0.15, 2.15), ylabel="level / eV", title=title)
    ax.grid(axis="x", visible=False)


def _classes(occupied: BoolArray, virtual: BoolArray) -> list[tuple[BoolArray, str, str, str]]:
    """Mask, label, colour and marker of the classes that have members."""
    classes = [(occupied, "occupied", OCCUPIED, "o"), (virtual, "virtual", VIRTUAL, "D")]
    return [entry for entry in classes if entry[0].any()]
