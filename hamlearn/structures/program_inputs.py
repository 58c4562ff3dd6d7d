"""Inputs of programs that may hold several molecules: DFTB+ (.gen), Turbomole (coord), Gaussian (Link1)."""

from __future__ import annotations

import re

from ase import Atoms
from ase.units import Bohr

from hamlearn.errors import StructureError
from hamlearn.structures.reading import Reading, plain_numbers

_LINES_OF_CELL = 4
_NUMBER = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?")
_CHECKPOINT_GEOMETRY = re.compile(r"\bgeom\w*\s*[=(]\s*\(?\w*check", re.IGNORECASE)


def gen_frames(text: str, reading: Reading) -> list[str]:
    """Return the text of each frame of a GEN file, elements by their symbols.

    Raises:
        StructureError: for a line that begins no frame, or a frame that is not whole.
    """
    lines = [line.partition("#")[0] for line in text.split("\n")]
    lines = [line for line in lines if line.strip()]
    frames: list[str] = []
    while lines:
        found = re.fullmatch(r"\s*(\d+)\s+([CSFH])\b.*", lines[0], flags=re.IGNORECASE)
        if not found:
            raise StructureError(
                f"frame {len(frames)} (counted from 0) begins with '{lines[0].strip()[:40]}'; expected the number of "
                "atoms and C, S or F"
            )
        n_lines = 2 + int(found[1]) + (0 if found[2] in "Cc" else _LINES_OF_CELL)
        frame, lines = lines[:n_lines], lines[n_lines:]
        if len(frame) < n_lines:
            raise StructureError(f"frame {len(frames)} (counted from 0) has {len(frame)} of {n_lines} lines")
        names = " ".join(reading.element(name) for name in frame[1].split())
        rows = [plain_numbers(line) for line in frame[2:]]
        frames.append("\n".join([f"{found[1]} {found[2].upper()}", names, *rows, ""]))
    return frames


def turbomole_molecules(text: str, reading: Reading) -> list[Atoms]:
    """Return the molecule of each ``$coord`` group, positions in Å; the group's are in Bohr unless it says ``angs``.

    Raises:
        StructureError: for fractional coordinates, or rows that are not three numbers and an element.
    """
    molecules: list[Atoms] = []
    for option, block in re.findall(r"^\s*\$coord\b([^\n]*)\n(.*?)(?=^\s*\$|\Z)", text, re.DOTALL | re.MULTILINE):
        if "frac" in option:
            raise StructureError("$coord frac: fractions of a cell; expected a molecule, in Bohr or with $coord angs")
        scale = 1.0 if "angs" in option else Bohr
        rows = [line.split() for line in block.split("\n") if line.strip() and not line.lstrip().startswith("#")]
        try:
            positions = [[scale * float(plain_numbers(x)) for x in row[:3]] for row in rows]
            symbols = [reading.element(row[3].capitalize()) for row in rows]
        except (ValueError, IndexError) as error:
            raise StructureError(f"$coord number {len(molecules)} (counted from 0): {error}") from None
        molecules.append(Atoms(symbols, positions=positions, pbc=False))
    if re.search(r"^\s*\$periodic\s+[123]", text, re.MULTILINE):
        raise StructureError("$periodic: expected a molecule; remove it if this is one")
    return molecules


def gaussian_jobs(text: str, reading: Reading) -> list[str]:
    """Return the text of each job of a Gaussian input that has a geometry of its own.

    Raises:
        StructureError: for coordinates in Bohr.
    """
    jobs = [f"{job.strip()}\n\n" for job in re.split(r"^\s*--link1--.*\n", text, flags=re.IGNORECASE | re.MULTILINE)]
    for job in jobs:
        if re.search(r"^\s*#[^\n]*\bunits?\s*[=(]\s*\(?[^\n)]*\b(au|bohr)\b", job, re.IGNORECASE | re.MULTILINE):
            raise StructureError("the route says units=au; expected Å: convert the positions and remove the unit")
    own = [job for job in jobs if job.strip() and not _CHECKPOINT_GEOMETRY.search(job)]
    return ["\n".join(_plain_row(line, reading) for line in job.split("\n")) for job in own]


def _plain_row(line: str, reading: Reading) -> str:
    """Return the row of an atom in Cartesian coordinates as its symbol and three numbers; other lines as they are."""
    row = plain_numbers(line.replace(",", " ")).split()
    if len(row) == 5 and row[1] in ("0", "-1"):  # whether it is held fixed
        del row[1]
    if len(row) != 4 or not all(_NUMBER.fullmatch(x) for x in row[1:]) or not re.fullmatch(r"\w+", row[0]):
        return line
    return " ".join([reading.element(row[0]), *row[1:]])


def check_one_gromacs_frame(text: str) -> None:
    """Refuse a GRO file of several frames, of which ASE reads the first.

    Raises:
        StructureError: with the number found.
    """
    lines, n = text.split("\n"), 0
    while len(lines) > 2 and re.fullmatch(r"\s*\d+\s*", lines[1]):
        lines, n = lines[int(lines[1]) + 3 :], n + 1
    if n > 1:
        raise StructureError(f"{n} frames, of which one would be read; expected one, or a file such as .xyz")
