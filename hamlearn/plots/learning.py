"""Learning curves: errors on a fixed test set against the size of the training set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hamlearn.observables import average_orders
from hamlearn.plots.style import BLUE, GREEN, VERMILION, add_legend, log_ticks, plain_number

Curve = tuple[str, str, str, str]
CURVES: tuple[Curve, ...] = (
    ("hamiltonian_rmse_mev", "Hamiltonian RMSE", GREEN, "s"),
    ("gap_rmse_mev", "HOMO–LUMO gap RMSE", VERMILION, "^"),
    ("eigenvalue_rmse_mev", "eigenvalue RMSE", BLUE, "o"),
)
"""Name of the error in a row, label, colour and marker."""
PROPERTY_CURVES: tuple[Curve, ...] = (
    ("force_rmse", "force RMSE", VERMILION, "^"),
    ("value_rmse", "property RMSE", BLUE, "o"),
)


def learning_curve(
    ax: Axes, rows: Sequence[Mapping[str, Any]], curves: Sequence[Curve] = CURVES, unit: str = "meV"
) -> None:
    """Draw errors against training size, log-log: a faint line per order, a strong one for the mean.

    Args:
        ax: where to draw.
        rows: one per training size and order, with ``n_train``, ``order`` and errors under the names of the curves;
            an error that is missing or None is left out.
        curves: which errors to draw, and how.
        unit: of the errors.
    """
    drawn: list[float] = []
    for key, label, colour, marker in curves:
        points = [(row["n_train"], row["order"], row[key]) for row in rows if row.get(key)]
        if not points:
            continue
        by_order = defaultdict(list)
        for size, order, error in sorted(points):
            by_order[order].append((size, error))
        if len(by_order) > 1:
            for line in by_order.values():
                ax.plot(*zip(*line, strict=True), color=colour, alpha=0.3, linewidth=1)
        averages = average_orders([row for row in rows if row.get(key)], key)
        sizes, means = [row["n_train"] for row in averages], [row["mean"] for row in averages]
        ax.plot(sizes, means, color=colour, marker=marker, markersize=5.5, linewidth=2, label=label)
        drawn += [error for _, _, error in points]
    ax.set(xscale="log", yscale="log", xlabel="training structures", ylabel=f"error on the test set / {unit}")
    sizes = sorted({row["n_train"] for row in rows})
    if len(sizes) <= 8:
        ax.xaxis.set_major_locator(FixedLocator(sizes))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    else:
        log_ticks(ax.xaxis, sizes)
    log_ticks(ax.yaxis, drawn)
    add_legend(ax, loc="upper right")
