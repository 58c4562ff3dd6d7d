"""Models of a PDB file, with the elements ASE needs, which it guesses wrongly where columns 77-78 are empty."""

from __future__ import annotations

import re

from hamlearn.angular.elements import SYMBOLS
from hamlearn.errors import StructureError
from hamlearn.structures.reading import ISOTOPES, Reading

_ATOM = ("ATOM  ", "HETATM")
_DUMMY_CELL = re.compile(r"CRYST1\s+(?:[01]\.0+\s+){3}")
"""What programs write where there is no crystal."""


def pdb_models(text: str, reading: Reading) -> list[str]:
    """Return the text of each model of a PDB file, with its elements in columns 77-78.

    A model ends with ENDMDL or, in trajectories of some programs, END. Without an element, the name of the atom tells
    it by its columns: ' CA ' is a carbon, 'CA  ' is calcium.

    Raises:
        StructureError: for an atom of no element, or atoms in alternate places.
    """
    head = "".join(
        f"{line}\n" for line in text.split("\n") if line.startswith(("CRYST1", "ORIGX")) and not _DUMMY_CELL.match(line)
    )
    models, atoms = [], []
    for number, line in enumerate([*text.split("\n"), "END"], start=1):
        if line.startswith(_ATOM):
            atoms.append(_with_element(line, number, reading))
        elif line.startswith("END") and atoms:
            models.append(f"{head}{''.join(atoms)}END\n")
            atoms = []
    return models


def _with_element(line: str, number: int, reading: Reading) -> str:
    if line[16:17].strip() not in ("", "A", "1"):
        raise StructureError(
            f"line {number} is an atom in an alternate place ('{line[16]}'); expected one place for each: keep one"
        )
    name = line[76:78].strip()
    try:
        symbol = reading.element(name.capitalize()) if name.isalpha() else _element_of_name(line, reading)
    except StructureError as error:
        raise StructureError(f"line {number} names {error}") from None
    return f"{line[:76]:<76}{symbol:>2}{line[78:]}\n"


def _element_of_name(line: str, reading: Reading) -> str:
    """Return the element an atom's name tells, columns 13-16, right-justified in the first two."""
    name = line[12:16]
    first, two = name[:1], name[:2].capitalize()
    wide = name[3:].strip() or name[2:3].isdigit()  # a hydrogen whose name is too long to begin in column 14
    if first.isalpha() and not (first == "H" and wide) and two in SYMBOLS[1:]:
        symbol = two
        reading.names[f"'{name}'"] = symbol
    else:
        letter = re.sub(r"[\d\s'\"*]", "", name)[:1].upper()
        symbol = ISOTOPES.get(letter, letter)
    if symbol not in SYMBOLS[1:]:
        raise StructureError(
            f"the atom '{name}', which tells no element, and columns 77-78 hold none; expected a symbol there"
        )
    reading.say("elements were told from the names of atoms, for want of columns 77-78")
    return symbol
