"""What the verbs print: errors of a model, failed calculations, tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hamlearn.display import counted, listed, with_error
from hamlearn.errors import SCFError

if TYPE_CHECKING:
    from hamlearn.observables import AnyPrediction
    from hamlearn.observables.properties import PropertyPrediction

MOST_PREDICTIONS = 20
"""Rows of a table of predictions; longer ones are in the files."""

MOST_LISTED, MOST_REASONS = 10, 2


def list_doubtful(states: Mapping[Any, str]) -> None:
    """Print what is doubtful of states that calculations came to, and of which structures, if there are any."""
    if not states:
        return
    typer.echo(f"\n{counted(len(states), 'calculation')} came to a doubtful state; they were used all the same")
    of_words: dict[str, list[str]] = {}
    for structure, words in states.items():
        of_words.setdefault(words, []).append(str(structure))
    for words, structures in of_words.items():
        more = f" and {len(structures) - MOST_LISTED} more" if len(structures) > MOST_LISTED else ""
        plural = "s" if len(structures) > 1 else ""
        typer.echo(f"structure{plural} {', '.join(structures[:MOST_LISTED])}{more}: {words}")


def list_failures(failures: Mapping[Any, str]) -> None:
    """Print the failed calculations, if there are any, and end with exit code 3."""
    if failures:
        typer.echo(f"\n{counted(len(failures), 'calculation')} failed; everything that finished is on disk", err=True)
        print_table([("structure", "why"), *failures.items()], err=True)
        raise typer.Exit(SCFError.exit_code)


def print_errors(metrics: Mapping[str, Any]) -> None:
    """Print the errors of a model on its test set, if there are any."""
    from hamlearn.report.headline import headline, headline_columns

    rows = headline(metrics)
    if rows:
        typer.echo(f"\nErrors on {counted(metrics['n_test'], 'test structure')}")
        plain = [[cell.replace("\u202f", "") for cell in row] for row in rows]  # terminals show no thin spaces
        print_table([headline_columns(metrics), *plain])
        typer.echo()
    for line in (metrics.get("verdict") or {}).get("lines", ()):
        typer.echo(line)


def print_predictions(predictions: Sequence[AnyPrediction], file: Path) -> None:
    """Print frontier levels and gaps of the first molecules, with error bars and flags where there are any.

    Args:
        predictions: of molecules as they come in their file.
        file: holds all of them.
    """
    from hamlearn.qm.molecule import formula

    def cells(index: int, p: AnyPrediction) -> list[str]:
        levels = ((p.homo_ev, p.homo_std_ev), (p.lumo_ev, p.lumo_std_ev), (p.gap_ev, p.gap_std_ev))
        return [
            str(index),
            formula(p.numbers),
            *(with_error(*level, 3) for level in levels),
            listed(p.flags, MOST_REASONS, "; "),
        ]

    flagged = {k for k, p in enumerate(predictions) if p.flags}
    rows = [cells(k, p) for k, p in enumerate(predictions[:MOST_PREDICTIONS])]
    table = [["index", "formula", "HOMO / eV", "LUMO / eV", "gap / eV", "flags"], *rows]
    print_table(table if flagged else [row[:-1] for row in table], words=bool(flagged))
    _print_rest(len(predictions), file, sum(k >= len(rows) for k in flagged))


def print_properties(predictions: Sequence[PropertyPrediction], file: Path, name: str) -> None:
    """Print values of the first structures, with error bars where there are any.

    Args:
        predictions: of structures as they come in their file.
        file: holds all of them.
        name: of the property, with its unit.
    """
    import numpy as np

    rows: list[tuple[object, ...]] = []
    for k, p in enumerate(predictions[:MOST_PREDICTIONS]):
        form = ".8g" if not p.std else f".{max(0, 1 - math.floor(math.log10(p.std)))}f"  # two digits of the error bar
        value = ", ".join(f"{x:{form}}" for x in np.ravel(p.value))
        rows.append((k, value, "-" if p.std is None else f"{p.std:.2g}"))
    print_table([("index", name, "std"), *rows])
    _print_rest(len(predictions), file)


def _print_rest(n: int, file: Path, n_flagged: int = 0) -> None:
    if n > MOST_PREDICTIONS:
        flagged = f", {n_flagged} of them flagged" if n_flagged else ""
        typer.echo(f"... {n - MOST_PREDICTIONS} more{flagged}: see {file}")


def print_table(rows: Iterable[Sequence[object]], err: bool = False, words: bool = False) -> None:
    """Print aligned columns: a name and a text, or a name and numbers, with words at the end if there are any."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for first, *others in texts:
        numbers = len(others) - 1 if words else len(others) if len(others) > 1 else 0
        cells = [cell.rjust(width) for cell, width in zip(others[:numbers], widths[1:], strict=False)]
        typer.echo("   ".join([first.ljust(widths[0]), *cells, *others[numbers:]]).rstrip(), err=err)
