"""Levels along a path or a vibration, coloured by irreducible representation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from hamlearn.plots.mo_diagram import irrep_text
from hamlearn.plots.style import add_legend
from hamlearn.symmetry.walsh import Track
from hamlearn.types import FloatArray

# Okabe and Ito's palette, by letter and number, so that an irrep looks the same in every figure; the style of the line
# tells g from u and ' from ''.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_PLACES = {
    **{"A": 0, "A1": 0, "Sigma": 0, "Sigma+": 0, "A2": 1, "Sigma-": 1, "B": 2, "B1": 2, "T2": 2, "B2": 3, "G": 3},
    **{"E": 4, "E1": 4, "Pi": 4, "B3": 5, "T": 5, "T1": 5, "E3": 5, "Phi": 5, "E2": 6, "H": 6, "Delta": 6, "Gamma": 3},
}
_LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))


def walsh(
    ax: Axes,
    coordinate: ArrayLike,
    tracks: Sequence[Track],
    xlabel: str,
    title: str = "",
    window_ev: tuple[float, float] = (-np.inf, np.inf),
    legend: bool = False,
) -> None:
    """Draw levels along a path, thick where occupied and thin where empty.

    Args:
        ax: where to draw.
        coordinate: of the structures [structure].
        tracks: levels from :func:`hamlearn.symmetry.walsh.walsh_diagram`.
        xlabel: what the coordinate is, with its unit.
        title: above.
        window_ev: tracks that never enter it are left out, eV.
        legend: name the irreps below the axes, and not beside every line.
    """
    x = np.asarray(coordinate, dtype=np.float64)
    low, high = window_ev
    seen = [t for t in tracks if ((t.energies_ev > low) & (t.energies_ev < high)).any()]
    ax.set(xlabel=xlabel, ylabel="level / eV", title=title, xlim=(x.min(), x.max()))
    if not seen:
        return
    irreps = sorted({track.irrep for track in tracks})
    looks = {irrep: _look(irrep) for irrep in irreps}
    for track in seen:
        ax.plot(x, track.energies_ev, linewidth=1.1, **looks[track.irrep])
        ax.plot(x, np.where(track.occupied, track.energies_ev, np.nan), linewidth=2.4, **looks[track.irrep])
    bottom, top = ax.get_ylim()
    ax.set_ylim(max(bottom, low), min(top, high))
    if not legend:
        _name_lines(ax, x, seen, looks)
        return
    present = [irrep for irrep in irreps if irrep in {track.irrep for track in seen}]
    for irrep in present:
        ax.plot([], [], label=irrep_text(irrep), **looks[irrep])
    columns = len(present) if len(present) < 6 else (len(present) + 1) // 2
    add_legend(ax, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=columns, borderaxespad=0)


def _look(irrep: str) -> dict[str, Any]:
    """Return colour and style of the line of an irrep, whatever else is drawn."""
    odd = "u" in irrep or "''" in irrep
    base = re.sub(r"_?[gu](?=[+-]?$)|'", "", irrep)
    place = _PLACES.get(base, int("0" + re.sub(r"\D", "", base)))
    return {"color": _COLOURS[place % len(_COLOURS)], "linestyle": _LINES[odd if base in _PLACES else 2]}


def _name_lines(
    ax: Axes, coordinate: FloatArray, tracks: Sequence[Track], looks: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the irrep of every track beside its last point, or on it where it leaves the axes."""
    bottom, top = ax.get_ylim()
    inside = sorted((t for t in tracks if bottom <= t.energies_ev[-1] <= top), key=lambda t: t.energies_ev[-1])
    ends = np.array([t.energies_ev[-1] for t in inside])
    for track, place in zip(inside, spread_apart(ends, 0.032 * (top - bottom)), strict=True):
        text, colour = irrep_text(track.irrep), looks[track.irrep]["color"]
        height = (place - bottom) / (top - bottom)
        ax.text(1.01, height, text, transform=ax.transAxes, color=colour, fontsize=9, va="center")
    for track in tracks:
        seen = (track.energies_ev >= bottom) & (track.energies_ev <= top)
        if seen.any() and not seen[-1]:
            last = int(np.flatnonzero(seen)[-1])
            place = (coordinate[last], track.energies_ev[last])
            below = -12 if track.energies_ev[last + 1] > top else 6
            colour = looks[track.irrep]["color"]
            text = irrep_text(track.irrep)
            ax.annotate(text, place, (0, below), textcoords="offset points", color=colour, fontsize=9)


def spread_apart(places: FloatArray, spacing: float) -> FloatArray:
    """Return ascending places moved as little as needed to lie at least ``spacing`` apart (least squares).

    Neighbours that touch move as one block, around the mean of where its members want to be (pool adjacent violators).
    """
    steps = spacing * np.arange(len(places))
    blocks: list[tuple[float, int]] = []
    for wish in places - steps:
        mean, count = float(wish), 1
        while blocks and blocks[-1][0] > mean:
            before, size = blocks.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        blocks.append((mean, count))
    return np.repeat([mean for mean, _ in blocks], [count for _, count in blocks]) + steps
