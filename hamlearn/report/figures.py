"""The figures of a report, each with the rows of numbers it was drawn from."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hamlearn import plots
from hamlearn.observables import reliability_curve
from hamlearn.report.headline import number
from hamlearn.report.run_files import Levels, ProjectionDiagnostics, PropertyValues
from hamlearn.report.words import every_block
from hamlearn.ties import tied_ranks
from hamlearn.units import HARTREE_EV

Row = Mapping[str, Any]
MOST_BLOCKS = 20


@dataclass(frozen=True)
class Drawing:
    """One figure: its name in the folder, its caption, and its data as rows."""

    name: str
    caption: str
    figure: Figure
    rows: Sequence[Row]

    def save(self, folder: Path) -> Path:
        """Write NAME.png and NAME.csv into ``folder`` and return the picture's path."""
        folder.mkdir(parents=True, exist_ok=True)
        picture = folder / f"{self.name}.png"
        plots.save_figure(self.figure, picture)
        with open(picture.with_suffix(".csv"), "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        return picture


def learning_curve(
    rows: Sequence[Row],
    curves: Sequence[plots.Curve] = plots.CURVES,
    unit: str = "meV",
    chosen: str = "the regularisation is",
) -> Drawing:
    """Errors against training size.

    Args:
        rows: of the learning curve.
        curves: which errors to draw.
        unit: of the errors.
        chosen: what is chosen anew at every size, with its verb.
    """
    figure, ax = plots.new_figure(6.2, 4.2)
    plots.learning_curve(ax, rows, curves, unit)
    orders = len({row["order"] for row in rows})
    lines = f"Thick: mean of {orders} orders of the training set; faint: each of them. " if orders > 1 else ""
    caption = f"{lines}The test set is the same throughout; {chosen} chosen anew at every size."
    return Drawing("learning_curve", caption, figure, rows)


def property_parity(values: PropertyValues, key: str, label: str) -> Drawing:
    """Predicted against known values, all components together."""
    n = len(values.structure)
    reference, predicted = values.reference.reshape(n, -1), values.predicted.reshape(n, -1)
    std = np.broadcast_to(values.std[:, None], reference.shape)
    figure, ax = plots.new_figure(4.7, 4.4)
    plots.parity(ax, reference.ravel(), predicted.ravel(), label, std.ravel())
    rows = [
        {"structure": k, "component": c, f"known_{key}": y, f"predicted_{key}": p, "std": s}
        for k, *columns in zip(
            values.structure.tolist(), reference.tolist(), predicted.tolist(), std.tolist(), strict=True
        )
        for c, (y, p, s) in enumerate(zip(*columns, strict=True))
    ]
    caption = "Every component of every test structure. Bars: standard deviations the model gives."
    return Drawing("parity", caption, figure, rows)


def force_parity(values: PropertyValues, label: str) -> Drawing:
    """Predicted against known components of forces."""
    assert values.reference_forces is not None and values.predicted_forces is not None
    known, predicted = values.reference_forces.ravel(), values.predicted_forces.ravel()
    figure, ax = plots.new_figure(4.7, 4.4)
    plots.parity(ax, known, predicted, label)
    rows = [{"known": y, "predicted": p} for y, p in zip(known.tolist(), predicted.tolist(), strict=True)]
    return Drawing("force_parity", "Every component of every atom of the test structures.", figure, rows)


def eigenvalue_parity(levels: Levels) -> Drawing:
    """Predicted against computed levels."""
    figure, ax = plots.new_figure(4.7, 4.4)
    plots.eigenvalue_parity(ax, levels.reference_ev, levels.predicted_ev, levels.occupied)
    caption = "Every level of every test structure; a perfect prediction lies on the line."
    return Drawing("eigenvalue_parity", caption, figure, _level_rows(levels))


def eigenvalue_errors(levels: Levels) -> Drawing:
    """Distribution of the errors of the levels."""
    figure, ax = plots.new_figure(4.7, 4.4)
    plots.error_histogram(ax, levels.errors_ev, levels.occupied)
    rows = [
        {"structure": row["structure"], "occupied": row["occupied"], "error_mev": row["error_mev"]}
        for row in _level_rows(levels)
    ]
    return Drawing("eigenvalue_errors", "How often errors of each size occur. Dashed: the RMSE.", figure, rows)


def error_bars(levels: Levels) -> list[Drawing]:
    """Errors of gaps and levels against their error bars, and how often errors lie within them; none without."""
    if levels.std_ev is None or levels.gap_std_ev is None:
        return []
    cases = (("gap", levels.gap_errors_ev(), levels.gap_std_ev), ("levels", levels.errors_ev, levels.std_ev))
    drawings = []
    for name, errors, stds in cases:
        figure, ax = plots.new_figure(4.7, 4.0)
        plots.error_against_std(ax, 1e3 * errors, 1e3 * stds, f"{name} / meV")
        pairs = zip(errors.tolist(), stds.tolist(), strict=True)
        rows = [{"error_mev": 1e3 * e, "std_mev": 1e3 * s} for e, s in pairs]
        caption = f"Size of the errors of the {name} of test structures against the error bars the model gave them."
        drawings.append(Drawing(f"error_bars_{name}", caption, figure, rows))
    figure, ax = plots.new_figure(4.7, 4.0)
    curves = []
    for (name, errors, stds), colour in zip(cases, (plots.VIRTUAL, plots.OCCUPIED), strict=True):
        plots.reliability(ax, errors, stds, name, colour)
        curves.append(reliability_curve(errors, stds))
    (expected, gap), (_, of_levels) = curves
    rows = [
        {"expected": p, "gap": g, "levels": n}
        for p, g, n in zip(expected.tolist(), gap.tolist(), of_levels.tolist(), strict=True)
    ]
    caption = "How many errors lie within intervals that should hold a given fraction. Below the line: bars too short."
    return [*drawings, Drawing("reliability", caption, figure, rows)]


def spectra(levels: Levels) -> list[Drawing]:
    """The ladders of a typical test structure and of the worst one."""
    ranked = levels.ranked_structures()
    drawings = []
    for name, words, index in (
        ("typical", "median", ranked[len(ranked) // 2]),
        ("worst", "largest", ranked[-1]),
    ):
        mask = levels.structure == index
        one = Levels(
            levels.reference_ev[mask], levels.predicted_ev[mask], levels.occupied[mask], levels.structure[mask]
        )
        figure, ax = plots.new_figure(4.7, 4.2)
        plots.spectrum(ax, one.reference_ev, one.predicted_ev, one.occupied)
        rmse = 1e3 * np.sqrt(np.mean(one.errors_ev**2))
        caption = f"Structure {index} of the file (from 0), {words} RMSE: {number(float(rmse))} meV. Arrow: the gap."
        drawings.append(Drawing(f"spectrum_{name}", caption, figure, _level_rows(one)))
    return drawings


def level_errors(rows: Sequence[Row]) -> Drawing:
    """Errors of each level."""
    figure, ax = plots.new_figure(6.2 if len(rows) <= 16 else 9.6, 3.8)
    plots.level_errors(ax, rows)
    caption = "Levels are counted from the frontier; RMSE filled, MAE open."
    return Drawing("level_errors", caption, figure, rows)


def block_errors(rows: Sequence[Row]) -> Drawing:
    """Errors of each block, the worst on top."""
    order = np.argsort(tied_ranks([-row["rmse_mev"] for row in rows]), kind="stable")
    ranked = [rows[k] for k in order]
    shown = ranked[:MOST_BLOCKS]
    figure, ax = plots.new_figure(6.2, 1.3 + 0.2 * len(shown))
    plots.block_errors(ax, shown)
    some = f"The {len(shown)} largest of {len(rows)} blocks" if len(shown) < len(rows) else every_block(len(rows))
    caption = f"{some}, each fitted on its own: shells of one atom or of an atom pair, coupled to angular momentum L."
    return Drawing("block_errors", caption, figure, ranked)


def projection(diagnostics: ProjectionDiagnostics) -> list[Drawing]:
    """Distributions of the three numbers that say how well the minimal basis fits; of the last, if any is finite."""
    entries = (
        (
            "saph_singular_values",
            diagnostics.smallest_singular_value,
            "smallest singular value",
            "Overlap of the minimal basis with the orbitals it stands for; near 0 the basis misses one of them.",
        ),
        (
            "saph_projections",
            diagnostics.smallest_projection,
            "smallest projection of an orbital",
            "How much of its worst orbital the minimal basis holds; far below 0.5 it describes it badly.",
        ),
        (
            "saph_rejected_gap",
            HARTREE_EV * diagnostics.rejected_gap_hartree,
            "gap to the first rejected orbital / eV",
            "From the highest accepted level to the first rejected one; at 0 the choice is arbitrary.",
        ),
    )
    drawings = []
    for name, values, label, caption in entries:
        if not np.isfinite(values).any():  # no structure has an orbital that could be rejected
            continue
        figure, ax = plots.new_figure(3.5, 2.8)
        plots.histogram(ax, values, label)
        column = label.replace(" / ", "_").replace(" ", "_").lower()
        rows = [
            {"structure": index, column: value}
            for index, value in zip(diagnostics.index.tolist(), values.tolist(), strict=True)
        ]
        drawings.append(Drawing(name, caption, figure, rows))
    return drawings


def _level_rows(levels: Levels) -> list[Row]:
    columns = {
        "structure": levels.structure,
        "occupied": levels.occupied,
        "reference_ev": levels.reference_ev,
        "predicted_ev": levels.predicted_ev,
        "error_mev": 1e3 * levels.errors_ev,
    }
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]
