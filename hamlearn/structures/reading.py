"""What is said about a file while it is read: names of elements that needed reading, and other remarks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hamlearn.angular.elements import SYMBOLS
from hamlearn.errors import StructureError

ISOTOPES = {"D": "H", "T": "H"}
NAMES_OF_PROTEINS = frozenset(["CA", "CD", "CE", "HE", "HG", "NB", "ND", "NE"])
"""Elements in capitals, or atoms such as the carbon alpha, as files of proteins name them."""

_LABEL = re.compile(r"\d*([A-Za-z]+)(?:[\d_'*+.:()-]\w*[+'*)-]*)?")
_FORTRAN_EXPONENT = re.compile(r"(?<![\w.])([+-]?(?:\d+\.?\d*|\.\d+))[dD]([+-]?\d+)(?![\w.])")


@dataclass
class Reading:
    """Remarks on a file, each made once.

    Attributes:
        names: how elements are called in the file, if not by their symbols, and what they were read as.
        remarks: anything else worth knowing.
    """

    names: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def element(self, name: str) -> str:
        """Return the symbol of an element that a file calls by its symbol, a label (C1, H_a), or its number.

        Raises:
            StructureError: if it is no element, or may be two.
        """
        if name in SYMBOLS:
            return name
        symbol = _named(name)
        if symbol is None:
            raise StructureError(f"the element '{name}'; expected a chemical symbol such as H, C or Cl")
        self.names[name] = symbol
        return symbol

    def say(self, remark: str) -> None:
        """Keep a remark, once."""
        if remark not in self.remarks:
            self.remarks.append(remark)

    def all(self) -> list[str]:
        """Return what there is to say, one line each."""
        by_symbol: dict[str, list[str]] = {}
        for name, symbol in self.names.items():
            isotope = "heavy " if _letters(name) in ISOTOPES else ""
            by_symbol.setdefault(isotope + symbol, []).append(name)
        told = [f"{_some(names)} as {symbol}" for symbol, names in by_symbol.items()]
        named = [f"read {', '.join(told)}"] if told else []
        if any(symbol.startswith("heavy") for symbol in by_symbol):
            named.append("isotopes count as their element: a calculation of electrons knows no masses")
        return named + self.remarks


def _named(name: str) -> str | None:
    if name.isdecimal():
        return SYMBOLS[int(name)] if 0 < int(name) < len(SYMBOLS) else None
    letters = _letters(name)
    if letters in NAMES_OF_PROTEINS:
        raise StructureError(
            f"the element '{name}', which may be {letters.capitalize()} or {letters[0]} of a protein; expected "
            f"'{letters.capitalize()}' or '{letters[0]}'"
        )
    symbol = ISOTOPES.get(letters.upper(), letters.capitalize())
    return symbol if symbol in SYMBOLS[1:] else None


def _letters(name: str) -> str:
    found = _LABEL.fullmatch(name)
    return found[1] if found else ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def plain_numbers(line: str) -> str:
    """Return a line with Fortran's 1.0D-2 as 1.0E-2, for Python."""
    return _FORTRAN_EXPONENT.sub(r"\1E\2", line) if "d" in line or "D" in line else line
