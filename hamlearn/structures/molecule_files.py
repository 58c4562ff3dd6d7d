"""Files of many molecules with bonds, MDL's (.mol, .sdf) and Tripos' (.mol2): ASE reads one of the first, none of the
second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ase import Atoms

from hamlearn.errors import StructureError
from hamlearn.structures.reading import Reading, plain_numbers

_Row = tuple[str, Sequence[str]]
"""How a file calls an element, and three coordinates."""

_V3000 = re.compile(r"^M  V30 BEGIN ATOM\n(.*?)^M  V30 END ATOM", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"^>[^\n<]*<([^>\n]+)>[^\n]*\n(.*?)(?=^\s*$|^>|\Z)", re.DOTALL | re.MULTILINE)
_SEPARATOR = re.compile(r"^\$\$\$\$.*\n?", re.MULTILINE)
_TITLE, _COUNTS = 1, 4
"""Lines, from 1, of the molecule's name and of the numbers of atoms and bonds."""


def mdl_molecules(text: str, reading: Reading) -> list[Atoms]:
    """Return all molecules of an MDL file, positions in Å; data fields (``> <name>``) become ``info``.

    Args:
        text: of a .mol or .sdf file, V2000 or V3000; molecules end in ``$$$$`` or ``M  END``.
        reading: takes remarks.

    Raises:
        StructureError: naming the molecule, counted from 0, that cannot be read.
    """
    return [_numbered(k, _mdl_molecule, record, reading) for k, record in enumerate(mdl_records(text))]


def mdl_records(text: str) -> list[str]:
    """Return the text of each molecule of an MDL file."""
    records: list[str] = []
    for part in _SEPARATOR.split(text):
        molecules = re.split(r"(?<=^M  END)[^\S\n]*\n", part, flags=re.MULTILINE)
        bodies = [body for body in molecules if re.search(r"\bV[23]000\b", body)]
        if len(bodies) > 1:
            records += bodies
        elif part.strip():
            records.append(part)
    return records


def _mdl_molecule(record: str, reading: Reading) -> Atoms:
    lines = record.split("\n")
    if len(lines) < _COUNTS:
        raise StructureError("it ends before the line of counts, the fourth")
    block = _V3000.search(record)
    rows = list(_v3000_rows(block[1]) if block else _v2000_rows(lines))
    if lines[1][20:22].upper() == "2D" and all(float(plain_numbers(xyz[2])) == 0 for _, xyz in rows):
        raise StructureError("it is a drawing (2D), no geometry; expected coordinates in space: make a conformer of it")
    atoms = _atoms(rows, reading)
    for name, value in _FIELD.findall(record):
        atoms.info[name] = _value(value.strip())
    return atoms


def _v2000_rows(lines: Sequence[str]) -> Iterator[_Row]:
    counts = lines[_COUNTS - 1]
    try:
        n_atoms = int(counts[:3])
    except ValueError:
        raise StructureError(f"its line 4 is '{counts.strip()}'; expected numbers of atoms and bonds") from None
    rows = lines[_COUNTS : _COUNTS + n_atoms]
    for k, line in enumerate(rows):
        if len(line) < 32 or line.startswith("M  END"):
            raise StructureError(f"{n_atoms} atoms are announced, {k} found")
        yield line[31:34].strip(), (line[:10], line[10:20], line[20:30])
    if len(rows) < n_atoms:
        raise StructureError(f"{n_atoms} atoms are announced, {len(rows)} found")


def _v3000_rows(block: str) -> Iterator[_Row]:
    joined = re.sub(r"-\nM  V30 ", "", block)  # a line that goes on in the next
    for line in joined.strip().split("\n"):
        columns = line.split()
        if len(columns) < 7:
            raise StructureError(f"'{line.strip()}' is no atom of V3000")
        yield columns[3], columns[4:7]


def mol2_molecules(text: str, reading: Reading) -> list[Atoms]:
    """Return all molecules of a Tripos MOL2 file, positions in Å; charges of atoms are kept as initial charges.

    Raises:
        StructureError: naming the molecule, counted from 0, that cannot be read.
    """
    records = re.split(r"^@<TRIPOS>MOLECULE[^\n]*\n", text, flags=re.MULTILINE)[1:]
    return [_numbered(k, _mol2_molecule, record, reading) for k, record in enumerate(records)]


def _mol2_molecule(record: str, reading: Reading) -> Atoms:
    head, _, rest = record.partition("@<TRIPOS>ATOM")
    block = rest.partition("\n")[2].partition("@<TRIPOS>")[0]
    columns = [line.split() for line in block.split("\n") if line.strip() and not line.startswith("#")]
    lines = [line for line in head.split("\n") if not line.startswith("#")]
    announced = lines[_TITLE].split()[:1] if len(lines) > _TITLE else []
    if announced != [str(len(columns))]:
        raise StructureError(f"{' '.join(announced) or 'no'} atoms are announced, {len(columns)} found")
    if any(len(row) < 6 for row in columns):
        raise StructureError("an atom has fewer than six columns: number, name, x, y, z, type")
    atoms = _atoms([(row[5].partition(".")[0], row[2:5]) for row in columns], reading)
    charged = len(lines) > 3 and lines[3].strip() not in ("", "NO_CHARGES")
    if charged and all(len(row) > 8 for row in columns):
        atoms.set_initial_charges([float(row[8]) for row in columns])
    return atoms


def _atoms(rows: Sequence[_Row], reading: Reading) -> Atoms:
    """Return a molecule of what its rows say."""
    try:
        positions = [[float(plain_numbers(x)) for x in xyz] for _, xyz in rows]
    except ValueError as error:
        raise StructureError(f"a coordinate is no number ({error})") from None
    try:
        symbols = [reading.element(name) for name, _ in rows]
    except StructureError as error:
        raise StructureError(f"an atom is {error}") from None
    return Atoms(symbols, positions=positions or None, pbc=False)


def _numbered(index: int, read: Any, record: str, reading: Reading) -> Atoms:
    """Return one molecule; an error says which."""
    try:
        atoms: Atoms = read(record, reading)
    except StructureError as error:
        raise StructureError(f"molecule {index} (counted from 0): {error}") from None
    return atoms


def _value(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
