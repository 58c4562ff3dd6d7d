"""How far levels split and shift along a vibration, on logarithmic axes that show the order of the effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from hamlearn.plots.style import BLUE, GREEN, GREY, VERMILION, add_legend, log_ticks
from hamlearn.symmetry import Multiplet
from hamlearn.types import FloatArray

_SERIES = (
    ("splitting of degenerate levels", VERMILION, "o"),
    ("shift of their mean", GREEN, "^"),
    ("shift of single levels", BLUE, "s"),
)


def splittings(
    ax: Axes,
    coordinate_angstrom: ArrayLike,
    levels_ev: ArrayLike,
    multiplets: Sequence[Multiplet],
    title: str = "",
    floor_ev: float = 1e-10,
    legend: bool = True,
) -> None:
    """Draw splittings and shifts of all multiplets against a displacement q > 0, with lines of slope 1 and 2.

    Args:
        ax: where to draw.
        coordinate_angstrom: displacements, Å [step].
        levels_ev: levels at each [step, level], ascending, eV.
        multiplets: of the undistorted molecule.
        title: above.
        floor_ev: smaller energies are rounding and not drawn, eV.
        legend: explain the markers.
    """
    q, levels = np.asarray(coordinate_angstrom, dtype=np.float64), np.asarray(levels_ev, dtype=np.float64)
    steps = np.flatnonzero(q > 0)[np.argsort(q[q > 0])]
    q = q[steps]
    series: tuple[list[FloatArray], ...] = ([], [], [])
    for multiplet in multiplets:
        mine = levels[steps][:, list(multiplet.indices)]
        shift = np.abs(mine.mean(axis=1) - multiplet.energy_ev)
        if multiplet.degeneracy > 1:
            series[0].append(np.ptp(mine, axis=1))
        series[1 if multiplet.degeneracy > 1 else 2].append(shift)
    look: dict[str, Any] = {"markersize": 4, "linewidth": 1, "alpha": 0.6}
    for curves, (label, colour, marker) in zip(series, _SERIES, strict=True):
        for curve in curves:
            ax.plot(q, np.where(curve > floor_ev, curve, np.nan), color=colour, marker=marker, **look)
        ax.plot([], [], color=colour, marker=marker, label=label)
    drawn = [curve[curve > floor_ev] for curves in series for curve in curves]
    smallest = min((float(curve.min()) for curve in drawn if len(curve)), default=floor_ev)
    largest = max((float(curve.max()) for curve in drawn if len(curve)), default=floor_ev)
    for power, name in ((1, "q"), (2, "q²")):
        guide = 4 * largest * (q / q[-1]) ** power
        ax.plot(q, guide, color=GREY, linestyle=(0, (4, 2)), linewidth=1)
        ax.annotate(name, (q[0], guide[0]), color=GREY, textcoords="offset points", xytext=(6, 5))
    ax.set(xscale="log", yscale="log", xlabel="displacement q / Å", ylabel="energy / eV", title=title)
    ax.set_ylim(0.3 * smallest, 20 * largest)
    log_ticks(ax.xaxis, q.tolist())
    if legend:
        add_legend(ax, loc="upper center", bbox_to_anchor=(0.5, -0.2), borderaxespad=0)
