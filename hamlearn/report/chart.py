"""Pictures that are text: points that tell what they are when hovered, and molecules; both follow dark mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors
from matplotlib.ticker import MaxNLocator

from hamlearn.report.html import Html
from hamlearn.types import FloatArray

WIDTH, HEIGHT, LEFT, BOTTOM, EDGE = 640.0, 300.0, 62.0, 42.0, 10.0
"""Of a chart, in its own units."""
COLOURS = 6
BOND = 1.25
"""Longest bond, in sums of covalent radii."""


@dataclass(frozen=True, eq=False)
class Points:
    """Points of one colour.

    Attributes:
        name: what they are.
        x: horizontal [point].
        y: vertical [point].
        words: what each says when hovered [point].
    """

    name: str
    x: FloatArray
    y: FloatArray
    words: Sequence[str]


def scatter(classes: Sequence[Points], x_label: str, y_label: str) -> Html:
    """Return a chart of points with a line at y = 0; each tells what it is when hovered."""
    x, y = (np.concatenate([getattr(points, axis) for points in classes]) for axis in "xy")
    x_ticks, y_ticks = (np.asarray(MaxNLocator(6).tick_values(*_limits(values))) for values in (x, np.append(y, 0.0)))
    to_x, to_y = _scale(x_ticks, LEFT, WIDTH - EDGE), _scale(y_ticks, HEIGHT - BOTTOM, EDGE)
    top, foot = EDGE, HEIGHT - BOTTOM
    parts = []
    for tick in x_ticks:
        parts.append(f'<line x1="{to_x(tick):.1f}" x2="{to_x(tick):.1f}" y1="{top}" y2="{foot}"/>')
        parts.append(f'<text x="{to_x(tick):.1f}" y="{foot + 16}" text-anchor="middle">{_tick(tick)}</text>')
    for tick in y_ticks:
        style = ' class="zero"' if abs(tick) < 1e-12 else ""
        parts.append(f'<line{style} x1="{LEFT}" x2="{WIDTH - EDGE}" y1="{to_y(tick):.1f}" y2="{to_y(tick):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{to_y(tick) + 4:.1f}" text-anchor="end">{_tick(tick)}</text>')
    middle = (LEFT + WIDTH) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(
        f'<text transform="translate(13 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
    )
    for colour, points in enumerate(classes):
        for a, b, words in zip(points.x, points.y, points.words, strict=True):
            parts.append(
                f'<circle class="colour{colour % COLOURS}" cx="{to_x(a):.1f}" cy="{to_y(b):.1f}" r="3.5">'
                f"<title>{escape(words)}</title></circle>"
            )
    keys = [f'<span class="key colour{k % COLOURS}">{escape(points.name)}</span>' for k, points in enumerate(classes)]
    legend = f"<figcaption>{''.join(keys)}</figcaption>" if len(classes) > 1 else ""
    label = escape(f"{y_label} against {x_label}")
    chart = f'<svg class="chart" role="img" aria-label="{label}" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}">'
    return Html(f'<figure><div class="wide">{chart}{"".join(parts)}</svg></div>{legend}</figure>')


def molecule(atoms: Atoms, name: str) -> Html:
    """Return a molecule seen along the axis in which it is flattest, with its name."""
    centred = atoms.positions - atoms.positions.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=True)[2]
    x, y, depth = (centred @ axes.T).T
    radii = covalent_radii[atoms.numbers]
    distances = np.linalg.norm(centred[:, None] - centred, axis=2)
    bonded = np.triu(distances < BOND * (radii[:, None] + radii), 1)
    lines = [f'<line x1="{x[i]:.2f}" y1="{y[i]:.2f}" x2="{x[j]:.2f}" y2="{y[j]:.2f}"/>' for i, j in np.argwhere(bonded)]
    balls = [
        f'<circle cx="{x[i]:.2f}" cy="{y[i]:.2f}" r="{0.55 * radii[i]:.2f}" fill="{_colour(int(atoms.numbers[i]))}"/>'
        for i in np.argsort(depth, kind="stable")
    ]
    half = max(float(np.abs(x).max()), 1.6) + 0.6
    high = max(float(np.abs(y).max()), 0.6) + 0.6
    view = f"{-half:.2f} {-high:.2f} {2 * half:.2f} {2 * high:.2f}"
    return Html(
        f'<figure><svg role="img" aria-label="{escape(name)}" viewBox="{view}">{"".join(lines + balls)}</svg>'
        f"<figcaption>{escape(name)}</figcaption></figure>"
    )


def _colour(number: int) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in jmol_colors[number])


def _limits(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 1.0, high + 1.0)


def _scale(ticks: FloatArray, start: float, stop: float) -> Callable[[float], float]:
    return lambda value: start + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (stop - start)


def _tick(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")
