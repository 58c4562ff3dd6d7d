"""Molecular-orbital diagrams: every multiplet in the column of its irreducible representation."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from hamlearn.display import counted
from hamlearn.plots.style import GREY, INK, OCCUPIED, VIRTUAL, add_legend, legend_marker
from hamlearn.symmetry import Multiplet
from hamlearn.symmetry.naming import orbital_name

_COLOURS = {"occupied": OCCUPIED, "partly filled": INK, "virtual": VIRTUAL}
_HALF_WIDTH = 0.42  # of a multiplet, in columns
_GAP = 0.1  # between its orbitals
_COLUMN_INCH = 0.5
NOTE = 0.08  # of the height, for a note on levels that are not shown


def irrep_text(name: str) -> str:
    """Return an irreducible representation as drawn for orbitals: 'E1g' -> e_1g, 'Sigma_g+' -> σ_g^+, A' -> a'."""
    small = orbital_name(name)
    match = re.fullmatch(r"(sigma|pi|delta|phi|gamma|[a-z])_?(\d*[gu]?\d*)([+-]?)('*)(\d*)", small)
    if match is None:
        return small
    letter, index, sign, primes, last = match.groups()
    letter = rf"\{letter}" if len(letter) > 1 else letter
    subscript = index + last
    return f"${letter}{f'_{{{subscript}}}' if subscript else ''}{f'^{{{sign}}}' if sign else ''}{primes}$"


def mo_diagram_size(multiplets: Sequence[Multiplet]) -> tuple[float, float]:
    """Return width and height, inch, that suit the diagram of these levels."""
    columns = len({multiplet.irrep for multiplet in multiplets})
    return max(3.2, 1.2 + _COLUMN_INCH * columns), min(8.0, 4.0 + 0.05 * len(multiplets))


def mo_diagram(
    ax: Axes,
    multiplets: Sequence[Multiplet],
    title: str = "",
    lowest_ev: float = -np.inf,
    highest_ev: float = np.inf,
) -> None:
    """Draw the levels of a molecule, one dash per orbital, a column for each irreducible representation.

    Args:
        ax: where to draw, of the size :func:`mo_diagram_size` says.
        multiplets: the levels.
        title: above.
        lowest_ev: levels below are left out, and that is said.
        highest_ev: the same of levels above.
    """
    shown = [multiplet for multiplet in multiplets if lowest_ev <= multiplet.energy_ev <= highest_ev]
    irreps = sorted({m.irrep for m in multiplets}, key=lambda name: ("u" in name or "''" in name, name))
    for multiplet in shown:
        colour = _COLOURS[_filling(multiplet)]
        edges = irreps.index(multiplet.irrep) + np.linspace(-_HALF_WIDTH, _HALF_WIDTH + _GAP, multiplet.degeneracy + 1)
        heights = [multiplet.energy_ev] * multiplet.degeneracy
        ax.hlines(heights, edges[:-1], edges[1:] - _GAP, color=colour, linewidth=1.8)
    _mark_gap(ax, shown)
    ax.set_xticks(range(len(irreps)), [irrep_text(irrep) for irrep in irreps])
    ax.tick_params(axis="x", length=0, labelsize=11)
    ax.set(xlim=(-0.7, len(irreps) - 0.3), ylabel="level / eV", title=title)
    ax.grid(axis="x", visible=False)
    present = {_filling(multiplet) for multiplet in shown}
    handles = [legend_marker(label, colour, "_") for label, colour in _COLOURS.items() if label in present]
    if handles:
        add_legend(ax, handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=3, borderaxespad=0)
    _name_frontier(ax, shown)
    below = sum(m.degeneracy for m in multiplets if m.energy_ev < lowest_ev)
    above = sum(m.degeneracy for m in multiplets if m.energy_ev > highest_ev)
    for count, place, side, ev in ((below, 0.01, "below", lowest_ev), (above, 0.99, "above", highest_ev)):
        if count:
            note = f"{counted(count, 'level')} {side}\n{ev:g} eV not shown".replace("-", "−")
            low, high = ax.get_ylim()
            room = NOTE * (high - low)
            ax.set_ylim(low - room if side == "below" else low, high if side == "below" else high + room)
            align = "bottom" if side == "below" else "top"
            ax.text(0.98, place, note, transform=ax.transAxes, fontsize=8, color=INK, ha="right", va=align)


def _filling(multiplet: Multiplet) -> str:
    """Return whether a level is occupied, partly filled or virtual."""
    if multiplet.occupation == multiplet.capacity:
        return "occupied"
    return "partly filled" if multiplet.occupation else "virtual"


def _name_frontier(ax: Axes, shown: Sequence[Multiplet]) -> None:
    """Write energy and electrons beside the highest level with electrons and the lowest without."""
    filled = [m for m in shown if m.occupation > 0]
    empty = [m for m in shown if m.occupation == 0]
    frontier = [max(filled, key=lambda m: m.energy_ev)] if filled else []
    frontier += [min(empty, key=lambda m: m.energy_ev)] if empty else []
    for multiplet in frontier:
        electrons = f", {multiplet.occupation} e⁻" if multiplet.occupation else ""
        text = f"{multiplet.energy_ev:.2f} eV{electrons}".replace("-", "−")
        place = (1.01, multiplet.energy_ev)
        ax.annotate(text, place, xycoords=ax.get_yaxis_transform(), fontsize=8, color=INK, va="center")


def _mark_gap(ax: Axes, shown: Sequence[Multiplet]) -> None:
    """Shade the energies between the highest occupied and the lowest virtual level; an open shell has no gap."""
    if any(_filling(m) == "partly filled" for m in shown):
        return
    occupied = [m.energy_ev for m in shown if m.occupation > 0]
    virtual = [m.energy_ev for m in shown if m.occupation == 0]
    if occupied and virtual and max(occupied) < min(virtual):
        ax.axhspan(max(occupied), min(virtual), color=GREY, alpha=0.12, linewidth=0, zorder=0)
