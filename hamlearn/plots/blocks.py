"""Errors of the irreducible blocks of the matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from hamlearn.plots.style import BLUE, GREEN, PURPLE, VERMILION, add_legend, legend_marker, log_ticks

KINDS = {
    "on_site": ("one atom", BLUE, "o"),
    "plus": ("like atoms, symmetric (+)", GREEN, "s"),
    "minus": ("like atoms, antisymmetric (−)", PURPLE, "v"),
    "cross": ("unlike atoms", VERMILION, "D"),
}


def block_name(row: Mapping[str, Any]) -> str:
    """The block in short, such as ``O–H 2s–2p L=1``; σ is named only where it is −1."""
    species = row["species"].split("-")[0] if row["kind"] == "on_site" else row["species"]
    name = f"{species} {row['shells']}".replace("-", "–")
    return f"{name} L={row['L']}" + (" σ=−1" if row["sigma"] < 0 else "")


def block_errors(ax: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the RMSE of every block, in the order of ``rows`` from the top, coloured by kind.

    Args:
        ax: where to draw.
        rows: one per block, with ``kind``, ``species``, ``shells``, ``L``, ``sigma`` and ``rmse_mev``.
    """
    positive = [row["rmse_mev"] for row in rows if row["rmse_mev"] > 0]
    floor = 0.7 * min(positive, default=1.0)
    for place, row in enumerate(rows):
        _, colour, marker = KINDS[row["kind"]]
        error = max(row["rmse_mev"], floor)  # a block predicted exactly sits at the edge
        ax.plot([floor, error], [place, place], color=colour, linewidth=1.6, alpha=0.3, zorder=1)
        ax.plot(error, place, marker=marker, markersize=6, color=colour)
    ax.set_yticks(range(len(rows)), [block_name(row) for row in rows])
    ax.set(xscale="log", ylim=(len(rows) - 0.4, -0.6), xlabel="RMSE on the test set / meV")
    ax.set_xlim(left=floor)
    log_ticks(ax.xaxis, positive)
    ax.grid(axis="y", visible=False)
    present = {row["kind"] for row in rows}
    handles = [
        legend_marker(label, colour, marker) for kind, (label, colour, marker) in KINDS.items() if kind in present
    ]
    add_legend(ax, handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)
