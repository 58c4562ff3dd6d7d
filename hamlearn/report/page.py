"""The report of a run, section by section."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hamlearn.artifacts import written_atomically
from hamlearn.display import SUBSCRIPT, counted
from hamlearn.observables import final_slope
from hamlearn.plots import block_name
from hamlearn.report import figures, html, property_page, tested
from hamlearn.report.headline import headline, number
from hamlearn.report.html import Html
from hamlearn.report.page_parts import about, cost, curve_table, pictures, provenance, title
from hamlearn.report.run_files import ProjectionDiagnostics, RunArtifacts, read_run
from hamlearn.report.words import chosen_of_grid, every_block, what_was_computed

ROUNDING = 1e-9
SMALLEST = 1e-11
SMALL_SCF = 1e-6  # Hartree: the threshold of guess sto-3g
GRID = 1e-4  # Hartree: PySCF's grids do not turn with the molecule
"""Largest change of a matrix element, Hartree, that rounding explains."""

MOST_FLAGGED = 50

ERROR_BARS = {"gap": "HOMO–LUMO gap", "levels": "orbital energies"}

CURVE_COLUMNS = {
    "hamiltonian_rmse_mev": "matrix RMSE / meV",
    "eigenvalue_rmse_mev": "level RMSE / meV",
    "eigenvalue_mae_mev": "level MAE / meV",
    "gap_rmse_mev": "gap RMSE / meV",
    "gap_mae_mev": "gap MAE / meV",
}


def write_report(run_folder: str | Path) -> Path:
    """Write ``report.html``, one page with all figures embedded, and ``figures/`` into a run folder.

    Args:
        run_folder: holds results.json and config.yaml; test_levels.npz, test_properties.npz, diagnostics.npz and
            model/ if there are.

    Returns:
        The path of the page.

    Raises:
        ArtifactError: if the folder lacks its results or a file in it is damaged.
    """
    folder = Path(run_folder)
    run = read_run(folder)
    sections = property_page.PARTS if run.config["target"]["kind"] == "property" else MATRIX_PARTS
    parts = (*sections, cost, provenance)
    document = html.page(f"hamlearn: {folder.resolve().name}", [part(run) for part in parts])
    path = folder / "report.html"
    with written_atomically(path) as temporary:
        temporary.write_text(document, encoding="utf-8", errors="surrogateescape")  # names a poor locale cannot read
    return path


def _title(run: RunArtifacts) -> Html:
    qm = run.config["qm"]
    method = f"{qm.get('xc') or qm['method']}/{qm['basis']}"
    return html.join([title(run, f"A model of the molecular Hamiltonian, {method}"), tested.molecules(run)])


def _about(run: RunArtifacts) -> Html:
    return about(run, what_was_computed(run.config, run.results, run.in_words) + chosen_of_grid(run.chosen))


def _errors(run: RunArtifacts) -> Html:
    rows = headline(run.results)
    if not rows:
        return html.section("Errors", html.paragraph("No structures were set aside for testing (split.test is 0)."))
    content = [Html('<div class="headline">'), html.table(("", "RMSE / meV", "MAE / meV"), rows), Html("</div>")]
    note = f"On {counted(run.results['n_test'], 'structure')} the model has not seen."
    if run.levels is not None and (spread := run.levels.gap_spread_ev()) > 0:
        note += f" For scale: their computed HOMO–LUMO gaps spread by {number(1e3 * spread)} meV (standard deviation)"
        inside = run.levels.gap_spreads_ev() if len(run.results.get("formulas") or {}) > 1 else {}
        of_each = ", ".join(f"{number(1e3 * ev)} in {formula.translate(SUBSCRIPT)}" for formula, ev in inside.items())
        note += f"; inside each formula by {of_each}." if inside else "."
    content.append(html.paragraph(note, "note"))
    error = run.results.get("equivariance_error")
    if error is not None:
        delta = run.config["target"]["delta"]
        on_grid = run.config["qm"]["method"] == "RKS" and delta != "none"
        limit = GRID if on_grid else SMALL_SCF if delta == "sto-3g" else ROUNDING
        fine = error < limit
        verdict = "This is more than rounding: do not trust the model."
        if fine:
            verdict = f"Symmetry holds to {'rounding' if error < SMALLEST else 'the rounding of large sums'}."
            if error >= ROUNDING:
                rest = "PySCF's integration grid" if on_grid else "the threshold of the SCF"
                verdict = f"The learned part is exact; the rest is {rest} in the guess."
        content.append(
            html.paragraph(
                f"Equivariance error: {number(error)} Hartree, the largest change of any matrix element when test "
                f"molecules are rotated, inverted and like atoms exchanged at random. {verdict}",
                "" if fine else "warning",
            )
        )
    return html.section("Errors", *content)


def _learning_curve(run: RunArtifacts) -> Html:
    rows = run.results.get("learning_curve")
    if not rows:
        return Html("")
    slope = final_slope(rows, "eigenvalue_rmse_mev")
    moves = "falls" if slope < 0 else "rises"
    words = f"Between the last two sizes n the RMSE of the levels {moves} as n to the power {slope:.2f}."
    return html.section(
        "Learning curve",
        *pictures(run, [figures.learning_curve(rows)]),
        html.paragraph(words.replace("-", "−"), "note") if np.isfinite(slope) else "",
        curve_table(rows, CURVE_COLUMNS),
    )


def _gaps(run: RunArtifacts) -> Html:
    if run.levels is None:
        return Html("")
    note = "Hover a point to see which structure it is, counted from 0 in the input file."
    return html.section("Gaps of the test structures", html.paragraph(note, "note"), tested.gaps(run.levels))


def _levels(run: RunArtifacts) -> Html:
    if run.levels is None:
        return Html("")
    scatter = [figures.eigenvalue_parity(run.levels), figures.eigenvalue_errors(run.levels)]
    return html.section(
        "Orbital energies",
        tested.level_residuals(run.levels),
        html.side_by_side(pictures(run, scatter)),
        html.side_by_side(pictures(run, figures.spectra(run.levels))),
    )


def _error_bars(run: RunArtifacts) -> Html:
    found = run.results.get("error_bars")
    if not found or run.levels is None:
        return Html("")
    drawings = pictures(run, figures.error_bars(run.levels))
    cells = [
        (
            ERROR_BARS[name],
            *(f"{100 * row[key]:.0f} %" if row.get(key) is not None else "–" for key in ("coverage_68", "coverage_95")),
            number(row.get("rms_z")),
            number(row.get("rank_correlation")),
            row["count"],
        )
        for name, row in found.items()
    ]
    header = ("", "within 1 std (68 %)", "within 2 std (95 %)", "rms error / std (1)", "rank correlation", "count")
    note = (
        "In brackets: what normal errors would give. The error bars were scaled on structures left out in "
        "cross-validation, never on these. Rank correlation: whether larger errors carry larger bars, 1 at best."
    )
    return html.section(
        "Error bars",
        html.side_by_side(drawings[:2]),
        *drawings[2:],
        html.table(header, cells),
        html.paragraph(note, "note"),
    )


def _level_errors(run: RunArtifacts) -> Html:
    rows = run.results.get("level_errors")
    if not rows:
        return Html("")
    note = run.results.get("levels_note")
    cells = [
        (
            row["level"],
            "yes" if row["occupied"] else "no",
            number(row["rmse_mev"]),
            number(row["mae_mev"]),
            row["count"],
        )
        for row in rows
    ]
    return html.section(
        "Error of each level",
        html.paragraph(note, "note") if note else "",
        *pictures(run, [figures.level_errors(rows)]),
        html.details("As a table", html.table(("level", "occupied", "RMSE / meV", "MAE / meV", "count"), cells, 2)),
    )


def _blocks(run: RunArtifacts) -> Html:
    rows = run.results.get("block_errors")
    if not rows:
        return Html("")
    drawing = figures.block_errors(rows)
    cells = [
        (
            block_name(row),
            row["kind"].replace("_", "-"),
            number(row["rmse_mev"]),
            row["items"],
            number(row.get("alpha")),
        )
        for row in drawing.rows
    ]
    header = ("block", "kind", "RMSE / meV", "items", "regularisation")
    return html.section(
        "Error of each block",
        *pictures(run, [drawing]),
        html.details(f"{every_block(len(rows))} as a table", html.table(header, cells, 2)),
    )


def _projection(run: RunArtifacts) -> Html:
    if run.diagnostics is None:
        return Html("")
    return html.section(
        "Projection on the minimal basis (SAPH)",
        html.side_by_side(pictures(run, figures.projection(run.diagnostics))),
        _flagged(run.diagnostics),
    )


def _flagged(diagnostics: ProjectionDiagnostics) -> Html:
    flagged = [(i, "; ".join(f)) for i, f in zip(diagnostics.index.tolist(), diagnostics.flags, strict=True) if f]
    ratio = np.min(diagnostics.smallest_singular_value / diagnostics.largest_singular_value)
    words = f"The smallest ratio of smallest to largest singular value is {number(float(ratio))}."
    if not flagged:
        return html.paragraph(f"{words} No projection was flagged.")
    listing = html.table(("index", "why"), flagged[:MOST_FLAGGED], numbers_from=2)
    more = f" The first {MOST_FLAGGED} are listed." if len(flagged) > MOST_FLAGGED else ""
    were = "was" if len(flagged) == 1 else "were"
    count = f"{len(flagged)} of {counted(len(diagnostics.flags), 'projection')} {were} flagged."
    return html.join([html.paragraph(f"{words} {count}{more}"), html.details("Flagged projections", listing)])


MATRIX_PARTS = (
    *(_title, _errors, _about, _gaps, _learning_curve, _levels, _error_bars, _level_errors, _blocks),
    _projection,
)
