"""Check the frames of an (extended) XYZ file, where ASE's reader stops or guesses without a word."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from hamlearn.errors import StructureError, nearest
from hamlearn.structures.reading import Reading, plain_numbers
from hamlearn.structures.xyz_comments import check_units

_Lines = Iterator[tuple[int, str]]
_POSITION_COLUMN = "pos"
_ELEMENT_COLUMNS = ("species", "Z")


def checked_frames(text: str, reading: Reading) -> str:
    """Return the text of an XYZ file with elements by their symbols and numbers that Python reads.

    ASE reads nothing after a blank line between frames, zeros where the positions have another name, and a last
    number that was cut off as it stands; a wrong atom count can keep it busy for hours.

    Args:
        text: of an XYZ or extended XYZ file.
        reading: takes remarks.

    Raises:
        StructureError: unless it is a sequence of whole frames: atom count, comment, one line per atom; naming the
            line and what was expected there.
    """
    lines: _Lines = iter(enumerate(io.StringIO(text, newline=None), start=1))
    return "".join(_frames(lines, reading))


def _frames(lines: _Lines, reading: Reading) -> Iterator[str]:
    for number, line in lines:
        if line.lstrip().startswith("VEC"):
            yield plain_numbers(line)
        elif not line.strip():
            _check_only_blank(lines, number)
        else:
            yield line
            yield from _frame(line, number, lines, reading)


def _check_only_blank(lines: _Lines, first: int) -> None:
    for number, line in lines:
        if line.strip():
            raise StructureError(
                f"line {first} is blank, and more follows on line {number}; "
                "expected an atom count: remove the blank line, or repair the count of the frame before it"
            )


def _frame(header: str, header_line: int, lines: _Lines, reading: Reading) -> Iterator[str]:
    """Yield comment and atoms of a frame."""
    try:
        n_atoms = int(header)
    except ValueError:
        raise StructureError(
            f"line {header_line} is '{_short(header)}'; expected the number of atoms of the next frame"
        ) from None
    if n_atoms < 0:
        raise StructureError(f"line {header_line}: {n_atoms} atoms; expected a positive number")
    number, comment = next(lines, (header_line, None))
    if comment is None:
        raise StructureError(f"the file ends after line {header_line}, in the middle of a frame; it was truncated")
    yield comment
    place, n_columns = _checked_comment(comment, number)
    shortest = 0
    for atom in range(n_atoms):
        number, line = next(lines, (number, ""))
        if not line:
            raise StructureError(
                f"truncated: the frame that starts on line {header_line} has {atom} of {n_atoms} atoms"
            )
        fixed = _with_symbol(line, number, place, reading)
        if len(line.split()) < n_columns:
            raise StructureError(
                f"line {number} is '{_short(line)}'; expected atom {atom} of the {n_atoms} announced "
                f"on line {header_line}, in {n_columns} columns"
            )
        if not line.endswith("\n") and len(line) < shortest:
            raise StructureError(
                f"the last line, {number}, is shorter than the others of its frame and has no newline: it looks "
                "truncated; if it is complete, end it with a newline"
            )
        if len(line.split()) > n_columns:
            reading.say(f"columns after number {n_columns} were not read, for want of Properties= in the comment")
        shortest = min(shortest or len(line), len(line.rstrip("\n")))
        yield fixed


def _with_symbol(line: str, number: int, place: int | None, reading: Reading) -> str:
    """Return the line of an atom with its element by its symbol, which stands in column ``place`` if anywhere."""
    columns = line.split()
    if place is None or place >= len(columns):
        return plain_numbers(line)
    try:
        symbol = reading.element(columns[place])
    except StructureError as error:
        raise StructureError(f"line {number} names {error}") from None
    if symbol != columns[place]:
        columns[place] = symbol
        line = " ".join(columns) + "\n"
    return plain_numbers(line)


def _checked_comment(comment: str, number: int) -> tuple[int | None, int]:
    """Return where the symbols stand and how many columns an atom's line has, after a look at names and units."""
    try:
        check_units(comment)
    except StructureError as error:
        raise StructureError(f"line {number}: {error}") from None
    found = re.search(r'\bProperties=["\']?([^"\'\s]+)', comment)
    if not found:
        return 0, 4
    fields = found.group(1).split(":")
    names, widths = fields[0::3], [int(width) if width.isdigit() else 0 for width in fields[2::3]]
    if _POSITION_COLUMN not in names:
        raise StructureError(
            f"line {number}: Properties names the columns {names}; expected '{_POSITION_COLUMN}' (positions) "
            f"among them{nearest(_POSITION_COLUMN, names)}"
        )
    if not set(names) & set(_ELEMENT_COLUMNS):
        raise StructureError(
            f"line {number}: Properties names the columns {names}; expected 'species' (symbols) or 'Z' among them"
        )
    place = sum(widths[: names.index("species")]) if "species" in names else None
    return place, sum(widths)


def _short(line: str) -> str:
    text = line.strip()
    return text if len(text) <= 40 else f"{text[:37]}..."
