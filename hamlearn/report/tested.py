"""The test structures one by one: what they look like, their gaps and levels, to be sorted, filtered and hovered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from hamlearn.display import SUBSCRIPT, counted
from hamlearn.report import html
from hamlearn.report.chart import Points, molecule, scatter
from hamlearn.report.headline import number
from hamlearn.report.html import Html
from hamlearn.report.run_files import Levels, PropertyValues, RunArtifacts
from hamlearn.types import BoolArray, FloatArray

MOST_ROWS, MOST_POINTS, MOST_COLOURS, MOST_MOLECULES = 1000, 3000, 6, 6


def molecules(run: RunArtifacts) -> Html:
    """Return a picture of the first test structure of each formula; nothing if their geometries are not there."""
    path = run.folder / "predictions" / "predictions.extxyz"
    if not path.exists():
        return Html("")
    from hamlearn.structures import read_structures

    first: dict[str, Atoms] = {}
    for atoms in read_structures(path):
        first.setdefault(atoms.get_chemical_formula(), atoms)
    shown = [molecule(atoms, formula.translate(SUBSCRIPT)) for formula, atoms in list(first.items())[:MOST_MOLECULES]]
    return Html(f'<div class="molecules">{html.join(shown)}</div>')


def gaps(levels: Levels) -> Html:
    """Return errors of gaps as points, and a row for every structure, the largest errors first."""
    index, reference, predicted = levels.indices(), levels.reference_gaps_ev(), levels.predicted_gaps_ev()
    formulas = _formulas(levels, len(index))
    errors, rmse = 1e3 * (predicted - reference), 1e3 * levels.structure_rmse_ev()
    finite = np.isfinite(errors)
    flags = [""] * len(index) if levels.flags is None else levels.flags.tolist()
    words = [
        f"structure {k}, {formula}: computed {r:.3f} eV, predicted {p:.3f} eV, error {e:+.1f} meV"
        + ("; outside the training set" if flag else "")
        for k, formula, r, p, e, flag in zip(index, formulas, reference, predicted, errors, flags, strict=True)
    ]
    chart = Html("")
    if finite.any():
        classes = _classes(formulas, reference, errors, words, finite)
        chart = scatter(classes, "computed gap / eV", "error of the gap / meV")
    bars = levels.gap_std_ev
    order = np.argsort(-np.nan_to_num(np.abs(errors), nan=-1.0), kind="stable")[:MOST_ROWS]
    rows = [
        (
            index[k],
            formulas[k],
            *(f"{value[k]:.3f}" if finite[k] else "–" for value in (reference, predicted)),
            number(float(errors[k])),
            *(() if bars is None else (number(1e3 * float(bars[k])),)),
            number(float(rmse[k])),
        )
        for k in order
    ]
    std = () if bars is None else ("std / meV",)
    header = ("index", "formula", "computed gap / eV", "predicted / eV", "error / meV", *std, "level RMSE / meV")
    table = html.details("Every test structure, as a table", html.table(header, rows, 2))
    outside = [(index[k], formulas[k], flag) for k, flag in enumerate(flags) if flag]
    return html.join([chart, table, _outside(outside)])


def _outside(rows: Sequence[tuple[int, str, str]]) -> Html:
    """Return why structures lie outside the training set, if any do."""
    if not rows:
        return Html("")
    title = f"{counted(len(rows), 'test structure')} outside the training set, and why"
    return html.details(title, html.table(("index", "formula", "why"), rows[:MOST_ROWS], 3))


def level_residuals(levels: Levels) -> Html:
    """Return errors of levels against the levels, as points; those of the first structures where there are many."""
    shown = slice(0, MOST_POINTS)
    reference, errors = levels.reference_ev[shown], 1e3 * levels.errors_ev[shown]
    words = [
        f"structure {k}: level at {r:.3f} eV, error {e:+.1f} meV"
        for k, r, e in zip(levels.structure[shown].tolist(), reference, errors, strict=True)
    ]
    kinds = np.where(levels.occupied[shown], "occupied", "virtual").tolist()
    classes = _classes(kinds, reference, errors, words, np.ones(len(kinds), dtype=bool))
    return scatter(classes, "computed level / eV", "error / meV")


def property_residuals(values: PropertyValues, label: str) -> Html:
    """Return errors of a property against what is known, as points, one for every component of every structure."""
    n = len(values.structure)
    known, predicted = values.reference.reshape(n, -1), values.predicted.reshape(n, -1)
    most = max(1, MOST_POINTS // known.shape[1])
    words = [
        f"structure {k}: known {y:.6g}, predicted {p:.6g}, error {p - y:+.2g}"
        for k, ys, ps in zip(values.structure[:most].tolist(), known, predicted, strict=False)
        for y, p in zip(ys, ps, strict=True)
    ]
    reference, errors = known[:most].ravel(), (predicted - known)[:most].ravel()
    return scatter([Points(label, reference, errors, words)], f"known {label}", "error")


def _classes(
    names: Sequence[str], x: FloatArray, y: FloatArray, words: Sequence[str], shown: BoolArray
) -> list[Points]:
    """Return points by name, the most frequent first; those beyond the colours there are together."""
    labels, counts = np.unique(np.array(names)[shown], return_counts=True)
    ranked = [str(label) for label in labels[np.argsort(-counts, kind="stable")]]
    kept = ranked if len(ranked) <= MOST_COLOURS else ranked[: MOST_COLOURS - 1]
    named = np.array([name if name in kept else "others" for name in names])
    out = []
    for name in [*kept, *(["others"] if len(kept) < len(ranked) else [])]:
        own = np.flatnonzero((named == name) & shown)
        out.append(Points(name, x[own], y[own], [words[k] for k in own.tolist()]))
    return out


def _formulas(levels: Levels, n: int) -> list[str]:
    if levels.formula is None:
        return [""] * n
    return [str(formula).translate(SUBSCRIPT) for formula in levels.formula]
