"""Small pieces of HTML: everything that goes in is escaped unless it is already Html."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path


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
    """A table; columns from ``numbers_from`` on are aligned as numbers."""

    def cells(tag: str, row: Sequence[object]) -> str:
        return "".join(
            f'<{tag} class="number">{text(value)}</{tag}>' if place >= numbers_from else f"<{tag}>{text(value)}</{tag}>"
            for place, value in enumerate(row)
        )

    head = f"<thead><tr>{cells('th', header)}</tr></thead>" if header else ""
    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return Html(f'<div class="scroll"><table>{head}<tbody>\n{body}\n</tbody></table></div>')


def bar(fraction: float) -> Html:
    """A horizontal bar that fills ``fraction`` of its cell."""
    return Html(f'<span class="bar"><span style="width:{100 * fraction:.1f}%"></span></span>')


def bullets(items: Iterable[object]) -> Html:
    """An unordered list."""
    return Html("<ul>" + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>")


def details(summary: object, content: Html) -> Html:
    """Content that is shown on request."""
    return Html(f"<details><summary>{text(summary)}</summary>\n{content}\n</details>")


def link(target: str, label: object) -> Html:
    """A link to a file beside the page."""
    return Html(f'<a href="{escape(target)}">{text(label)}</a>')


def picture(path: Path, caption: str, width_inch: float) -> Html:
    """A PNG embedded in the page, no wider than it was drawn for, with a link to its data beside it."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    csv = link(f"{path.parent.name}/{path.stem}.csv", "data")
    return Html(
        f'<figure style="max-width:{7 * width_inch:.0f}rem">'
        f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text(caption)} {csv}</figcaption></figure>"
    )


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
        "</body>\n</html>\n"
    )


STYLE = """
:root { --ink: #1d2939; --soft: #5d6b82; --line: #e4e7ec; --blue: #0072b2; --paper: #f7f8fa; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 2.2rem 1.1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .7rem; }
p { margin: 0 0 .8rem; }
.lead { color: var(--soft); font-size: 1.05rem; }
.note { color: var(--soft); font-size: .92rem; }
.warning { border-left: 4px solid #d55e00; padding-left: .8rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 1.3rem 1.4rem;
  margin-top: 1.1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .38rem 1.6rem .38rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; font-size: .88rem; }
tbody tr:last-child td { border-bottom: 0; }
.number { text-align: right; white-space: nowrap; }
.scroll { overflow-x: auto; margin-bottom: .8rem; }
.headline td { font-size: 1.15rem; }
.headline td.number { font-weight: 600; }
.row { display: grid; gap: 1rem 1.6rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.of-3 { grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
figure { margin: 0 0 .6rem; }
figure img { width: 100%; height: auto; display: block; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .3rem; }
a { color: var(--blue); }
code { font-size: .92em; }
ul { margin: 0 0 .8rem; padding-left: 1.2rem; }
details { margin-top: .6rem; }
summary { cursor: pointer; color: var(--blue); margin-bottom: .5rem; }
.bar { display: inline-block; width: 10rem; height: .6rem; background: var(--line); border-radius: .3rem;
  overflow: hidden; }
.bar span { display: block; height: 100%; background: var(--blue); }
@media (max-width: 40rem) {
  main { padding: 1.3rem .6rem 3rem; }
  section { padding: 1rem .9rem; }
  th, td { padding-right: .9rem; }
  .bar { width: 5rem; }
}
@media print { body { background: #fff; } section { break-inside: avoid; border: 0; padding: 0; } }
"""
