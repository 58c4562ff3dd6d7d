"""Check the frames of an (extended) XYZ file, where ASE's reader stops or guesses without a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ase.io.formats import open_with_compression

from hamlearn.angular.elements import SYMBOLS
from hamlearn.errors import StructureError, nearest

_Lines = Iterator[tuple[int, str]]
_POSITION_COLUMN = "pos"
_ELEMENT_COLUMNS = ("species", "Z")


def check_xyz_frames(path: Path) -> None:
    """Raise unless the file is a sequence of whole frames: atom count, comment, one line per atom.

    ASE reads nothing after a blank line between frames, zeros where the positions have another name, and a last
    number that was cut off as it stands; a wrong atom count can keep it busy for hours.

    Args:
        path: an XYZ or extended XYZ file, compressed or not.

    Raises:
        StructureError: naming the line and what was expected there.
    """
    with open_with_compression(str(path), "r") as file:
        lines: _Lines = iter(enumerate(file, start=1))
        try:
            for number, line in lines:
                if line.lstrip().startswith("VEC"):
                    continue
                if not line.strip():
                    _check_only_blank(lines, number)
                    return
                _check_frame(line, number, lines)
        except StructureError as error:
            raise StructureError(f"{path}: {error}") from None


def _check_only_blank(lines: _Lines, first: int) -> None:
    for number, line in lines:
        if line.strip():
            raise StructureError(
                f"line {first} is blank, and more follows on line {number}; "
                "expected an atom count: remove the blank line, or repair the count of the frame before it"
            )


def _check_symbol(comment: str, line: str, number: int) -> None:
    """Refuse a first column that is no element, where the first column names elements."""
    if "Properties=" in comment and "Properties=species:S:1" not in comment:
        return
    name = next(iter(line.split()), "")
    if name and name not in SYMBOLS:
        raise StructureError(f"line {number} names the element '{name}'; expected a chemical symbol such as H, C or Cl")


def _check_frame(header: str, header_line: int, lines: _Lines) -> None:
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
    n_columns = _check_columns(comment, number)
    shortest = 0
    for atom in range(n_atoms):
        number, line = next(lines, (number, ""))
        if not line:
            raise StructureError(
                f"truncated: the frame that starts on line {header_line} has {atom} of {n_atoms} atoms"
            )
        _check_symbol(comment, line, number)
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
        shortest = min(shortest or len(line), len(line.rstrip("\n")))


def _check_columns(comment: str, number: int) -> int:
    """Return how many columns an atom's line has, after a look at the names of the columns."""
    found = re.search(r'\bProperties=["\']?([^"\'\s]+)', comment)
    if not found:
        return 4
    fields = found.group(1).split(":")
    names, widths = fields[0::3], fields[2::3]
    if _POSITION_COLUMN not in names:
        raise StructureError(
            f"line {number}: Properties names the columns {names}; expected '{_POSITION_COLUMN}' (positions) "
            f"among them{nearest(_POSITION_COLUMN, names)}"
        )
    if not set(names) & set(_ELEMENT_COLUMNS):
        raise StructureError(
            f"line {number}: Properties names the columns {names}; expected 'species' (symbols) or 'Z' among them"
        )
    return sum(int(width) for width in widths if width.isdigit())


def _short(line: str) -> str:
    text = line.strip()
    return text if len(text) <= 40 else f"{text[:37]}..."
