"""Small pieces of HTML: everything that goes in is escaped unless it is already Html."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from hamlearn.report.page_style import SCRIPT, STYLE

FEWEST_TO_SORT, MANY = 4, 20
"""Rows of a table from which on it can be sorted, and is scrolled."""


class Html(str):
    """Text that is HTML already."""


def text(value: object) -> str:
    """``value`` as HTML."""
    return value if isinstance(value, Html) else escape(str(value))


def join(parts: Iterable[str]) -> Html:
    """Pieces of HTML one after the other."""
    return Html("\n".join(parts))


def paragraph(value: object, style: str = "") -> Html:
    """One paragraph, with a CSS class if ``style`` names one."""
    return Html(f'<p class="{style}">{text(value)}</p>' if style else f"<p>{text(value)}</p>")


def table(header: Sequence[object], rows: Iterable[Sequence[object]], numbers_from: int = 1) -> Html:
    """A table; columns from ``numbers_from`` on are aligned as numbers. A click on a title sorts all but short ones."""

    def cells(tag: str, row: Sequence[object]) -> str:
        return "".join(
            f'<{tag} class="number">{text(value)}</{tag}>' if place >= numbers_from else f"<{tag}>{text(value)}</{tag}>"
            for place, value in enumerate(row)
        )

    head = f"<thead><tr>{cells('th', header)}</tr></thead>" if header else ""
    lines = [f"<tr>{cells('td', row)}</tr>" for row in rows]
    body = "\n".join(lines)
    style = ' class="sortable"' if header and len(lines) >= FEWEST_TO_SORT else ""
    tall = " tall" if len(lines) >= MANY else ""
    return Html(f'<div class="scroll{tall}"><table{style}>{head}<tbody>\n{body}\n</tbody></table></div>')


def bar(fraction: float) -> Html:
    """A horizontal bar that fills ``fraction`` of its cell."""
    return Html(f'<span class="bar"><span style="width:{100 * fraction:.1f}%"></span></span>')


def bullets(items: Iterable[object]) -> Html:
    """An unordered list."""
    return Html("<ul>" + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>")


def details(summary: object, content: Html) -> Html:
    """Content that is shown on request."""
    return Html(f"<details><summary>{text(summary)}</summary>\n{content}\n</details>")


def download(path: Path, label: object, kind: str = "text/plain") -> Html:
    """A file that the page carries with it, so that it is there also when the page was mailed."""
    return Html(f'<a download="{escape(path.name)}" href="data:{kind};base64,{_encoded(path)}">{text(label)}</a>')


def picture(path: Path, caption: str, width_inch: float) -> Html:
    """A PNG and its data, both in the page; no wider than it was drawn for, nor so narrow that nobody can read it."""
    csv = download(path.with_suffix(".csv"), "data", "text/csv")
    return Html(
        f'<figure style="max-width:{7 * width_inch:.0f}rem"><div class="wide">'
        f'<img style="min-width:{4.2 * width_inch:.0f}rem" alt="{escape(caption)}" '
        f'src="data:image/png;base64,{_encoded(path)}"></div>'
        f"<figcaption>{text(caption)} {csv}</figcaption></figure>"
    )


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


def side_by_side(figures: Sequence[Html]) -> Html:
    """Figures beside each other where the screen is wide enough, else one below the other."""
    return Html(f'<div class="row of-{len(figures)}">\n{join(figures)}\n</div>')


def section(title: str, *content: str) -> Html:
    """A titled part of the page."""
    return join([f"<section><h2>{text(title)}</h2>", *content, "</section>"])


def page(title: str, body: Iterable[str]) -> Html:
    """The whole document."""
    return Html(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{join(body)}\n</main>\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
