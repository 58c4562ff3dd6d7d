"""Parts of a report that runs of all kinds have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hamlearn.display import SUBSCRIPT, counted
from hamlearn.observables import average_orders
from hamlearn.report import html
from hamlearn.report.figures import Drawing
from hamlearn.report.headline import number
from hamlearn.report.html import Html
from hamlearn.report.run_files import RunArtifacts

MOST_IN_TITLE = 4


def title(run: RunArtifacts, lead: str) -> Html:
    """What was learned of what, where it lies, and what the run thinks of its model, if it does."""
    formulas = list(run.results.get("formulas") or {})
    named = ", ".join(name.translate(SUBSCRIPT) for name in formulas[:MOST_IN_TITLE])
    if len(formulas) > MOST_IN_TITLE:
        named += f" and {counted(len(formulas) - MOST_IN_TITLE, 'more formula')}"
    return html.join(
        [
            f"<h1>{html.text(named or run.folder.resolve().name)}</h1>",
            html.paragraph(f"{lead}; run folder {run.folder.resolve().name}", "lead"),
            *(html.paragraph(line) for line in (run.results.get("verdict") or {}).get("lines", ())),
            html.paragraph(f"{run.results['repeated']}.", "warning") if run.results.get("repeated") else "",
        ]
    )


def about(run: RunArtifacts, sentences: Iterable[str]) -> Html:
    """What was computed in words, what failed, and all settings on request."""
    settings = [
        row
        for name, section in run.config.items()
        if isinstance(section, dict) and name != "versions"
        for row in _settings(name, section)
    ]
    return html.section(
        "What was computed",
        *map(html.paragraph, sentences),
        _told(run.results.get("failures") or {}, "failed; left out of everything below.", "Failed calculations", "why"),
        _told(
            run.results.get("doubtful_states") or {},
            "came to a state that is doubtful; they are used below all the same.",
            "Doubtful states",
            "what the SCF came to",
        ),
        html.details("All settings", html.table((), settings, numbers_from=2)),
    )


def curve_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Html:
    """Mean and spread of errors over orders of the training set, by training size.

    Args:
        rows: of the learning curve.
        columns: header of every error, by its name in a row.
    """
    averages = zip(*(average_orders(rows, key) for key in columns), strict=True)
    cells = [(row[0]["n_train"], *map(_mean_and_spread, row)) for row in averages]
    table = html.table(("training structures", *columns.values()), cells)
    several = any(row["order"] != rows[0]["order"] for row in rows)
    return html.details(f"As a table{': mean ± standard deviation over orders' if several else ''}", table)


def _mean_and_spread(average: Mapping[str, float]) -> str:
    """Return the mean of an error, with its spread where there is more than one order."""
    mean = number(average["mean"])
    return mean if average["orders"] == 1 else f"{mean} ± {number(average['std'])}"


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
    """Versions, and the small files of the run, which the page carries with it."""
    versions = ", ".join(f"{name} {version}" for name, version in run.config.get("versions", {}).items())
    names = ("config.yaml", "results.json", "model/MODEL_CARD.md")
    files = [html.download(run.folder / name, name) for name in names if (run.folder / name).exists()]
    return html.section(
        "Provenance",
        html.paragraph(f"Made with {versions}.") if versions else "",
        html.paragraph(Html("Files of this run: " + ", ".join(files) + ".")),
    )


def _told(reasons: Mapping[str, str], words: str, heading: str, what: str) -> Html:
    """Warn of calculations in some words, and list them on request; nothing if there are none."""
    if not reasons:
        return Html("")
    listing = html.table(("structure", what), reasons.items(), numbers_from=2)
    return html.join(
        [
            html.paragraph(f"{counted(len(reasons), 'calculation')} {words}", "warning"),
            html.details(heading, listing),
        ]
    )


def _settings(name: str, section: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of a section and its settings, then those of the sections inside it."""
    inner = {key: value for key, value in section.items() if isinstance(value, dict)}
    said = {key: value for key, value in section.items() if key not in inner and value is not None}
    if said:
        yield name, " · ".join(f"{key}\u00a0{_setting(value)}" for key, value in said.items())
    for key, value in inner.items():
        yield from _settings(f"{name}.{key}", value)


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return f"[{', '.join(map(_setting, value))}]"
    return str(value)
