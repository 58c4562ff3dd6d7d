"""How objects show themselves: a few lines of text, or a small table in a notebook."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import PurePath
from typing import Any

WIDTH, MOST_LINES = 120, 10
MOST_CHARACTERS = 60
"""Length of a value beyond which it is cut."""
FEW_NUMBERS = 3
"""Numbers that are all shown, such as those of a vector."""
ROUNDING = 1e-12
"""Size below which a number of a vector is shown as 0."""

SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Words(str):
    """Text that is shown without quotes."""


def with_error(value: float, std: float, decimals: int = 4) -> Words:
    """Return a number with its error bar, where there is one (not NaN), such as ``7.2031 +- 0.0125``."""
    bar = f" +- {std:.{decimals}f}" if std == std else ""
    return Words(f"{value:.{decimals}f}{bar}")


def number(value: float | None) -> str:
    """Three significant digits, readable at any size: 0.213, 1 230, 0.000300, 3.2×10⁻¹⁴; a dash for nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e6:
        digits = max(0, 2 - int(f"{value:.2e}".split("e")[1]))
        return f"{value:,.{digits}f}".replace(",", "\u202f")
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}×10" + str(int(exponent)).translate(SUPERSCRIPT)


def counted(n: int, noun: str) -> str:
    """Return a number with its noun in singular or plural, such as ``2 structures``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def listed(parts: Sequence[str], most: int, between: str) -> str:
    """Return the first of some parts, and how many more there are."""
    more = [f"... {len(parts) - most} more"] if len(parts) > most else []
    return between.join([*parts[:most], *more])


class Shown:
    """An object whose repr is ``ClassName(key=value, ...)`` in at most ten lines, arrays by shape and range; in a
    notebook a small table.

    Frozen dataclasses derive from it with ``repr=False``.
    """

    __slots__ = ()

    def shown(self) -> Mapping[str, object]:
        """Return what the repr says; by default all fields of a dataclass."""
        return {field.name: getattr(self, field.name, None) for field in fields(self) if field.repr}  # type: ignore[arg-type]

    def __repr__(self) -> str:
        return short_repr(type(self).__name__, self.shown())

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, self.shown())


def short_repr(name: str, values: Mapping[str, object]) -> str:
    """Return ``name(key=value, ...)`` in at most ten lines of at most 120 characters; what does not fit is counted."""
    parts = [f"{key}={in_words(value)}" for key, value in values.items()]
    whole = f"{name}({', '.join(parts)})"
    if len(whole) <= WIDTH:
        return whole
    lines: list[list[str]] = [[]]
    for part in parts:
        if len("    " + ", ".join([*lines[-1], part]) + ",") > WIDTH and lines[-1]:
            lines.append([])
        lines[-1].append(part)
    room = MOST_LINES - 2
    if len(lines) > room:
        left = sum(map(len, lines[room - 1 :]))
        lines = [*lines[: room - 1], [f"... {left} more"]]
    body = ",\n".join("    " + ", ".join(line) for line in lines)
    return f"{name}(\n{body},\n)"


def in_words(value: object) -> str:
    """Return a value in one short line: arrays by shape and range, long lists by their first items."""
    if isinstance(value, Words):
        return str(value)
    if value is None or isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, str | PurePath):
        return _cut(repr(str(value)))
    if isinstance(value, Mapping):
        return "{" + _some([f"{in_words(key)}: {in_words(item)}" for key, item in value.items()]) + "}"
    if isinstance(value, tuple | list):
        listed = _some([in_words(item) for item in value])
        return f"[{listed}]" if isinstance(value, list) else f"({listed}{',' * (len(value) == 1)})"
    if hasattr(value, "get_chemical_formula"):
        return f"{type(value).__name__}({value.get_chemical_formula()})"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(value)
    text = repr(value)
    return text if len(text) <= WIDTH // 2 and "\n" not in text else f"{type(value).__name__}(...)"


def html_table(title: str, rows: Mapping[str, object] | Iterable[Sequence[object]]) -> str:
    """Return a small HTML table for notebooks, everything escaped.

    Args:
        title: stands above it.
        rows: names with their values, or cells row by row.
    """
    from html import escape

    listed = rows.items() if isinstance(rows, Mapping) else rows
    body = ""
    for first, *others in listed:
        cells = "".join(f"<td>{escape(_cell(cell))}</td>" for cell in others)
        body += f'<tr><th style="text-align:left">{escape(_cell(first))}</th>{cells}</tr>'
    return f"<table><caption>{escape(title)}</caption>{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, tuple | list):
        return _some([_cell(item) for item in value])
    return str(value) if isinstance(value, str | PurePath) else in_words(value)


def _number(value: float) -> str:
    text = repr(float(value))
    return text if len(text) <= 10 else f"{value:.8g}"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 4]}...{text[-1]}"


def _some(items: Sequence[str]) -> str:
    """Return the first items, as many as fit, and how many there are."""
    kept, length = 0, 0
    while kept < len(items) and length + len(items[kept]) <= MOST_CHARACTERS:
        length += len(items[kept]) + 2
        kept += 1
    listed = ", ".join(items[:kept])
    if kept == len(items):
        return listed
    return f"{listed}{', ' * bool(kept)}... {len(items)} in all"


def _array(value: Any) -> str:
    """Return the shape and the range of an array or tensor."""
    import numpy as np

    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if not array.ndim:
        return in_words(array.item())
    if array.ndim == 1 and array.size <= FEW_NUMBERS and array.dtype.kind in "iuf":
        return f"[{', '.join(f'{x:.4g}' if abs(x) > ROUNDING else '0' for x in array)}]"
    shape = f"[{', '.join(map(str, array.shape))}]"
    if array.dtype.kind == "b":
        return f"{shape} {int(array.sum())} true"
    finite = array[np.isfinite(array)] if array.dtype.kind in "iuf" else array[:0]
    if not finite.size:
        return shape
    low, high = finite.min(), finite.max()
    nan = ", not all finite" if finite.size < array.size else ""
    return f"{shape} {low:.4g}{nan}" if low == high else f"{shape} {low:.4g} to {high:.4g}{nan}"
