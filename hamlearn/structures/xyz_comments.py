"""The comment line of an (extended) XYZ frame, where ASE's parser reads prose as settings and loses keys."""

from __future__ import annotations

import re
from typing import Any

from ase.io.extxyz import key_val_str_to_dict

from hamlearn.errors import StructureError

PROSE = "comment"
"""The key under which a comment without any ``key=value`` is kept."""
MEANT_WITH_A_VALUE = ("pbc", "lattice", "properties")

_NUMBERS = re.compile(r"\s*[+-]?\d+(?:\s+[+-]?\d+)*\s*")
_KEY = r"(?<!\S)([^\s=\"'{}\[\]]+)"
_EMPTY = re.compile(_KEY + r"\s*=(?:\"\"|''|\{\s*\}|\[\s*\]|(?=\s*$)|(?=\s+[^\s=\"'{}\[\]]+=))(?=\s|$)")
_ENDS_IN_EQUALS = re.compile(_KEY + r"=([^\s\"'{}\[\]]+=)(?=\s|$)")
_FORTRAN_EXPONENT = re.compile(r"(?<=[=\s\"'])([+-]?\d*\.\d*)[dD]([+-]\d+)(?![\w.])")
_OF_LENGTH = r"length|position|pos|coordinate|coord|distance|geometry|xyz"
_UNIT_KEYS = re.compile(rf"units?|(?:{_OF_LENGTH})s?[_-]?units?|units?[_-]?(?:of[_-]?)?(?:{_OF_LENGTH})s?")
_ATOMIC = r"bohrs?|a\.?\s?u\.?|a0|atomic(?:[ _-]units?)?"
_NOT_ANGSTROM = re.compile(rf"{_ATOMIC}|nm|nanomet(?:er|re)s?|pm|picomet(?:er|re)s?")
_PROSE_OF_ATOMIC_UNITS = re.compile(
    rf"\b(?:in|units?|coordinates?|coords?|positions?|geometry|lengths?|xyz)\b[\s:([]*(?:(?:are|is|in)\s+)*(?:{_ATOMIC})(?!\w)"
    r"|[(\[]bohrs?[)\]]|^\s*bohrs?\s*$"
)
_MAY_NAME_UNITS = re.compile(r"unit|bohr|a0|atomic|a\.?\s?u")
_OF_OTHER_THINGS = re.compile(r"energ|dipol|polari|charge|gradient|forces?\b|hartree")


def comment_of(line: str) -> dict[str, Any]:
    """Return what a comment says: keys with values, or the text itself under ``comment`` if it is prose.

    Numbers alone, such as a charge and a multiplicity, are keys, as ASE has it. Empty values stay empty and values may
    end in '='; ASE's parser takes the next key for a part of either.
    """
    if "=" not in line and not _NUMBERS.fullmatch(line):
        return {PROSE: line.strip()} if line.strip() else {}
    empty = {match[1]: "" for match in _EMPTY.finditer(line)}
    line = _ENDS_IN_EQUALS.sub(r'\1="\2"', _EMPTY.sub(" ", line))
    line = _FORTRAN_EXPONENT.sub(r"\1E\2", line)
    found = key_val_str_to_dict(line)
    words = [name for name, value in found.items() if value is True and name.lower() in MEANT_WITH_A_VALUE]
    for name in words:
        if not re.search(rf"{name}[\"']?\s*=", line):
            del found[name]
    return found | empty


def check_units(comment: str) -> None:
    """Refuse a comment that says that lengths are not in Å.

    Raises:
        StructureError: naming the unit.
    """
    if not _MAY_NAME_UNITS.search(comment.lower()):
        return
    keys = {name.lower(): str(value).lower() for name, value in comment_of(comment).items()}
    stated = [v.strip() for k, v in keys.items() if _UNIT_KEYS.fullmatch(k) and _NOT_ANGSTROM.fullmatch(v.strip())]
    words = "" if "=" in comment or _OF_OTHER_THINGS.search(comment.lower()) else comment.lower()
    prose = [match[0].strip() for match in _PROSE_OF_ATOMIC_UNITS.finditer(words)]
    for unit in stated + prose:
        raise StructureError(
            f"the comment says that lengths are in '{unit}'; expected Å: convert the positions (1 Bohr is 0.529177 Å) "
            "and remove the unit"
        )
