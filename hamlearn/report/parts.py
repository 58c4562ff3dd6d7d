"""Parts of a report that runs of all kinds have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hamlearn.observables import average_orders
from hamlearn.report import html
from hamlearn.report.artifacts import RunArtifacts
from hamlearn.report.figures import Drawing
from hamlearn.report.headline import number
from hamlearn.report.html import Html


def summary(run: RunArtifacts, lead: str, sentences: Iterable[str]) -> Html:
    """Title, what was computed in words, all settings, and what failed."""
    settings = [
        (name, " · ".join(f"{key}\u00a0{_setting(value)}" for key, value in section.items()))
        for name, section in run.config.items()
        if isinstance(section, dict) and name != "versions"
    ]
    return html.join(
        [
            f"<h1>{html.text(run.folder.resolve().name)}</h1>",
            html.paragraph(lead, "lead"),
            html.section(
                "What was computed",
                *map(html.paragraph, sentences),
                html.table((), settings, numbers_from=2),
                _failures(run.results.get("failures") or {}),
            ),
        ]
    )


def curve_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Html:
    """Mean and spread of errors over orders of the training set, by training size.

    Args:
        rows: of the learning curve.
        columns: header of every error, by its name in a row.
    """
    averages = zip(*(average_orders(rows, key) for key in columns), strict=True)
    cells = [(row[0]["n_train"], *(f"{number(e['mean'])} ± {number(e['std'])}" for e in row)) for row in averages]
    table = html.table(("training structures", *columns.values()), cells)
    return html.details("As a table: mean ± standard deviation over orders", table)


def pictures(run: RunArtifacts, drawings: Iterable[Drawing]) -> list[Html]:
    """Save drawings in the run folder and return them as HTML."""
    folder = run.folder / "figures"
    return [html.picture(drawing.save(folder), drawing.caption, drawing.figure.get_figwidth()) for drawing in drawings]


def cost(run: RunArtifacts) -> Html:
    """Time of every stage, and memory."""
    seconds = {stage: value for stage, value in run.results.get("seconds", {}).items() if value is not None}
    if not seconds:
        return Html("")
    longest = max(seconds.values()) or 1.0
    rows = [(stage, f"{number(value)} s", html.bar(value / longest)) for stage, value in seconds.items()]
    memory = run.results.get("peak_memory_gb")
    note = "Of the run that did the stage; fit is the final model alone."
    if memory is not None:
        note += f" Largest memory of the main process: {number(memory)} GB."
    return html.section("Time and memory", html.table((), rows), html.paragraph(note, "note"))


def provenance(run: RunArtifacts) -> Html:
    """Versions, and links to the files of the run."""
    versions = ", ".join(f"{name} {version}" for name, version in run.config.get("versions", {}).items())
    names = ("config.yaml", "results.json", "model/MODEL_CARD.md", "figures/")
    files = [html.link(name, name) for name in names if (run.folder / name).exists()]
    return html.section(
        "Provenance",
        html.paragraph(f"Made with {versions}.") if versions else "",
        html.paragraph(Html("Files of this run: " + ", ".join(files) + ".")),
    )


def _failures(failures: Mapping[str, str]) -> Html:
    if not failures:
        return Html("")
    words = f"{len(failures)} calculations failed; these structures are left out of everything below."
    listing = html.table(("structure", "why"), failures.items(), numbers_from=2)
    return html.join([html.paragraph(words, "warning"), html.details("Failed calculations", listing)])


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {entry}" for key, entry in value.items()) + "}"
    return "not set" if value is None else str(value)
