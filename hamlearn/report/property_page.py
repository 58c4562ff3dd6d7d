"""The report of a run that learned a property, section by section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hamlearn import plots
from hamlearn.display import counted
from hamlearn.observables import final_slope
from hamlearn.report import figures, html, tested
from hamlearn.report.headline import headline, headline_columns, number, property_quantities
from hamlearn.report.html import Html
from hamlearn.report.page_parts import about, curve_table, pictures, title
from hamlearn.report.run_files import RunArtifacts
from hamlearn.report.words import chosen_of_grid, what_property_was_learned

ROUNDING = 1e-6
"""Largest change under rotations, in spreads of the training set, that the rounding of large weights explains."""


def _title(run: RunArtifacts) -> Html:
    return html.join([title(run, f"A model of {run.config['target']['key']}"), tested.molecules(run)])


def _about(run: RunArtifacts) -> Html:
    return about(run, what_property_was_learned(run.config, run.results, run.in_words) + chosen_of_grid(run.chosen))


def _errors(run: RunArtifacts) -> Html:
    results = run.results
    rows = headline(results)
    if not rows:
        return html.section("Errors", html.paragraph("No structures were set aside for testing (split.test is 0)."))
    spreads = [f"{words}: {number(results[f'{name}_spread'])}" for name, words in property_quantities(results).items()]
    fine = results["equivariance_error"] < ROUNDING
    verdict = "Symmetry holds to rounding." if fine else "This is more than rounding: do not trust the model."
    return html.section(
        "Errors",
        '<div class="headline">',
        html.table(headline_columns(results), rows),
        "</div>",
        html.paragraph(
            f"On {counted(results['n_test'], 'structure')} the model has not seen. For scale, the spread of their "
            f"known values (standard deviation): {'; '.join(spreads)}.",
            "note",
        ),
        html.paragraph(
            f"Equivariance error: {number(results['equivariance_error'])} spreads of the training set, the largest "
            "change of any component when test molecules are rotated, inverted and like atoms exchanged at random. "
            f"{verdict}",
            "" if fine else "warning",
        ),
        _nothing_learned(results.get("hyperparameters") or {}),
        _hyperparameters(results.get("hyperparameters") or {}),
    )


def _nothing_learned(found: Mapping[str, Any]) -> Html:
    if found.get("cv_error", 0.0) < 1.0:
        return Html("")
    words = "The cross-validated error is no smaller than the spread of the training data: nothing was learned."
    return html.paragraph(words, "warning")


def _hyperparameters(found: Mapping[str, Any]) -> Html:
    if not found:
        return Html("")
    words = {"a": "a", "b": "b", "c0": "c0", "cv_error": "cross-validated error, in units of the spread of the data"}
    rows = [(words.get(name, name), number(value)) for name, value in found.items()]
    return html.details("Kernel weights found by cross-validation", html.table((), rows))


def _learning_curve(run: RunArtifacts) -> Html:
    rows = run.results.get("learning_curve")
    if not rows:
        return Html("")
    unit = run.config["target"].get("unit") or "unit of the data"
    columns = {
        f"{name}_{kind}": f"{words}, {kind.upper()}"
        for name, words in property_quantities(run.results).items()
        for kind in ("rmse", "mae")
    }
    slope = final_slope(rows, "value_rmse")
    moves = "falls" if slope < 0 else "rises"
    words = f"Between the last two sizes n the RMSE {moves} as n to the power {slope:.2f}.".replace("-", "−")
    units = f"{unit} (forces: per Å)" if "force_rmse" in run.results else unit
    mixed = "the mixture of kernels and the regularisation are"
    chosen = mixed if run.config["model"]["kind"] == "kernel" else "the regularisation is"
    drawing = figures.learning_curve(rows, plots.PROPERTY_CURVES, units, chosen)
    return html.section(
        "Learning curve",
        *pictures(run, [drawing]),
        html.paragraph(words, "note") if np.isfinite(slope) else "",
        curve_table(rows, columns),
    )


def _parity(run: RunArtifacts) -> Html:
    if run.properties is None:
        return Html("")
    labels = property_quantities(run.results)
    drawings = [figures.property_parity(run.properties, run.config["target"]["key"], labels["value"])]
    if run.properties.reference_forces is not None:
        drawings.append(figures.force_parity(run.properties, labels["force"]))
    chart = tested.property_residuals(run.properties, labels["value"])
    return html.section("Predicted against known", chart, html.side_by_side(pictures(run, drawings)))


PARTS = (_title, _errors, _about, _learning_curve, _parity)
