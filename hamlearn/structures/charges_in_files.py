"""Charges and multiplicities that files state where ASE's readers drop them: read here, into ``info``.

Whole-molecule lines (Gaussian, Turbomole, ORCA, NWChem, GAMESS), atoms' formal charges (MOL and SDF, PDB), and
key-value pairs of ASE's databases. :mod:`hamlearn.structures.charges` judges what is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from ase import Atoms

from hamlearn.errors import StructureError
from hamlearn.structures.charges import as_number, speaks_of_electrons
from hamlearn.structures.program_inputs import gaussian_jobs
from hamlearn.structures.reading import Reading
from hamlearn.structures.text_files import text_of

Stated = dict[str, Any]
"""What a record states, by the names of ``info``."""

_INTEGER = r"([+-]?\d+)"
_PATTERNS: Mapping[str, Mapping[str, str]] = {
    "gaussian-out": {"charge": rf"Charge\s*=\s*{_INTEGER}\s+Mult", "multiplicity": rf"Multiplicity\s*=\s*{_INTEGER}"},
    "orca-output": {
        "charge": rf"Total Charge\s+Charge\s+\.+\s+{_INTEGER}",
        "multiplicity": rf"Multiplicity\s+Mult\s+\.+\s+{_INTEGER}",
    },
    "nwchem-out": {"charge": rf"Charge\s*:\s*{_INTEGER}", "multiplicity": rf"Spin multiplicity\s*:\s*{_INTEGER}"},
    "gamess-us-out": {
        "charge": rf"CHARGE OF MOLECULE\s*=\s*{_INTEGER}",
        "multiplicity": rf"(?:SPIN|STATE) MULTIPLICITY\s*=\s*{_INTEGER}",
    },
    "cjson": {
        "charge": rf'"totalCharge"\s*:\s*{_INTEGER}',
        "multiplicity": rf'"totalSpinMultiplicity"\s*:\s*{_INTEGER}',
    },
    "turbomole": {
        "charge": rf"(?im)^\s*\$(?:eht\b[^$]*?\bcharge\s*=\s*|charge\s+|chrg\s+){_INTEGER}",
        "nopen": rf"(?im)^\s*\$(?:eht\b[^$]*?\bunpaired\s*=\s*|spin\s+){_INTEGER}",
    },
}  # fmt: skip
"""By ASE's name of the format: where a file speaks of the whole molecule."""

_ATOM_BLOCK_CHARGES = {1: 3, 2: 2, 3: 1, 5: -1, 6: -2, 7: -3}
_DOUBLET_CODE = 4  # of a charge in the atom block
_UNPAIRED_OF_RADICAL = {1: 0, 2: 1, 3: 2}


def add_stated(path: Path, kind: str, structures: Sequence[Atoms]) -> None:
    """Put charges and multiplicities a file states into ``info``, unless the reader has done so.

    Args:
        path: the file, compressed or not.
        kind: ASE's name of its format.
        structures: what was read of it, in its order; changed in place.

    Raises:
        StructureError: naming the file, if what it states cannot be understood or told to its structures.
    """
    try:
        records = _records(path, kind, structures)
    except StructureError as error:
        raise StructureError(f"{path}: {error}") from None
    if len(records) == 1:
        records = records * len(structures)
    if any(records[len(structures) :]) or (any(records) and len(records) < len(structures)):
        raise StructureError(
            f"{path}: charges or multiplicities of {len(records)} records cannot be told to the {len(structures)} "
            "structures that were read; put every molecule into a file of its own, or use extended XYZ with charge=..."
        )
    for atoms, stated in zip(structures, records, strict=False):
        for name, value in stated.items():
            atoms.info.setdefault(name, value)


def _records(path: Path, kind: str, structures: Sequence[Atoms]) -> list[Stated]:
    """Return what every record of a file states; one for all where it speaks of the file as a whole."""
    if kind in ("db", "json"):
        return _of_database(path, kind)
    if kind in ("extxyz", "xyz"):
        for index, atoms in enumerate(structures):
            _check_comment(index, atoms)
    if kind not in _PATTERNS and kind not in _READERS:
        return [{}]
    text = text_of(path)
    return _READERS[kind](text) if kind in _READERS else [_of_patterns(_PATTERNS[kind], text)]


def _of_patterns(patterns: Mapping[str, str], text: str) -> Stated:
    stated: Stated = {}
    for name, pattern in patterns.items():
        found = sorted({int(number) for number in re.findall(pattern, text)})
        if len(found) > 1:
            raise StructureError(
                f"several values of {name} ({', '.join(map(str, found))}); expected one for all frames"
            )
        if found:
            stated[name] = found[0]
    return stated


def _of_gaussian_input(text: str) -> list[Stated]:
    """Return what every job with a geometry of its own states."""
    return [_of_gaussian_job(job) for job in gaussian_jobs(text, Reading())]


def _of_gaussian_job(text: str) -> Stated:
    """Read the first two numbers of the line after the title: charge and multiplicity of the whole molecule."""
    sections = [part for part in re.split(r"\n\s*\n", text) if part.strip()]
    for section in sections[1:]:
        match = re.match(rf"\s*{_INTEGER}(?:\s*,\s*|\s+){_INTEGER}(?:[\s,]+[+-]?\d+)*\s*(?:\n|$)", section)
        if match:
            return {"charge": int(match[1]), "multiplicity": int(match[2])}
    raise StructureError("no line with charge and multiplicity after the title; expected one such as '0 1'")


def _of_molfiles(text: str) -> list[Stated]:
    parts = re.split(r"(?m)^\$\$\$\$.*\n?", text)
    return [_of_molfile(part.splitlines()) for part in parts if part.strip()]


def _of_molfile(lines: Sequence[str]) -> Stated:
    """Read charges and radicals of the atoms, of which lines M CHG and M RAD replace those of the atom block."""
    n_atoms = int(lines[3][:3]) if len(lines) > 3 and lines[3][:3].strip().isdigit() else 0
    codes = [_code(line[36:39]) for line in lines[4 : 4 + n_atoms]]
    charges = [_ATOM_BLOCK_CHARGES.get(code, 0) for code in codes if code]
    radicals = [1 for code in codes if code == _DOUBLET_CODE]
    listed = {name: [v for line in lines for v in _property(line, name)] for name in ("CHG", "RAD")}
    if listed["CHG"] or listed["RAD"]:
        charges, radicals = listed["CHG"], [_UNPAIRED_OF_RADICAL.get(code, 0) for code in listed["RAD"]]
    stated: Stated = {"charge": sum(charges)} if any(charges) else {}
    centres = [n for n in radicals if n]
    if len(centres) > 1:
        raise StructureError(
            f"{len(centres)} radical centres (M  RAD), whose spins may be parallel or not; write the molecule as "
            "extended XYZ with its multiplicity=..."
        )
    if centres:
        stated["multiplicity"] = centres[0] + 1
    return stated | _of_data_fields(lines)


def _property(line: str, name: str) -> list[int]:
    """Return the values of a line such as 'M  CHG  1   1   1', or of one of version V3000."""
    if line.startswith(f"M  {name}"):
        return [_code(number) for number in line[9:].split()[1::2]]
    return [int(v) for v in re.findall(rf"\b{name}=([+-]?\d+)", line)] if line.startswith("M  V30") else []


def _of_data_fields(lines: Sequence[str]) -> Stated:
    """Return the data of an SDF record that speak of charge or spin, such as '> <PUBCHEM_TOTAL_CHARGE>'."""
    found: Stated = {}
    for line, value in pairwise(lines):
        match = re.match(r">.*<([^>]+)>", line)
        name = re.sub("(?i)^pubchem_", "", match[1]) if match else ""
        if speaks_of_electrons(name) and "partial" not in name.lower() and as_number(value) is not None:
            found[name] = value.strip()
    return found


def _code(text: str) -> int:
    if not text.strip():
        return 0
    try:
        return int(text)
    except ValueError:
        raise StructureError(f"a charge or radical of an atom is '{text.strip()}'; expected a whole number") from None


def _of_pdb(text: str) -> list[Stated]:
    """Add up the charges of columns 79-80 ('1+', '2-') in every model."""
    records: list[Stated] = []
    for model in re.split(r"(?m)^END.*\n?", text):
        fields = [line[78:80].strip() for line in model.splitlines() if line.startswith(("ATOM", "HETATM"))]
        if not fields:
            continue
        values = [as_number(field) for field in fields if field]
        if None in values:
            wrong = next(field for field in fields if field and as_number(field) is None)
            raise StructureError(f"columns 79-80 of an atom hold '{wrong}'; expected a charge such as '1+' or '2-'")
        total = sum(int(value) for value in values if value is not None)
        records.append({"charge": total} if values else {})
    return records


def _of_database(path: Path, kind: str) -> list[Stated]:
    """Return the key-value pairs of an ASE database that speak of charge or spin; its reader drops them all."""
    from ase.db import connect

    with connect(str(path), type=kind) as database:
        pairs = [row.key_value_pairs for row in database.select()]
    return [{key: value for key, value in row.items() if speaks_of_electrons(key)} for row in pairs]


def _check_comment(index: int, atoms: Atoms) -> None:
    """Refuse a comment of two numbers that may be charge and multiplicity; '0 1' is what is computed anyway."""
    numbers = [key for key, value in atoms.info.items() if value is True and as_number(key) is not None]
    if len(atoms.info) == len(numbers) == 2 and numbers != ["0", "1"]:
        first, second = numbers
        raise StructureError(
            f"frame {index} (counted from 0) has the comment '{first} {second}', which may be its charge and "
            f"multiplicity; write charge={first} multiplicity={second}, or another comment"
        )


_READERS: Mapping[str, Callable[[str], list[Stated]]] = {
    "gaussian-in": _of_gaussian_input,
    "mol": _of_molfiles,
    "sdf": _of_molfiles,
    "proteindatabank": _of_pdb,
}
