"""What the verbs print: errors of a model, failed calculations, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

from hamlearn.display import counted
from hamlearn.errors import SCFError

MOST_LISTED = 10


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


def print_table(rows: Iterable[Sequence[object]], err: bool = False) -> None:
    """Print aligned columns: a name and a text, or a name and numbers."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for first, *others in texts:
        cells = [cell.rjust(width) if len(others) > 1 else cell for cell, width in zip(others, widths[1:], strict=True)]
        typer.echo("   ".join([first.ljust(widths[0]), *cells]), err=err)
