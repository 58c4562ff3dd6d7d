"""Structures in whatever form they are given: a file, one molecule, or many."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeAlias

from ase import Atoms

from hamlearn.errors import StructureError
from hamlearn.structures.read import read_structures

Structures: TypeAlias = str | os.PathLike[str] | Atoms | Iterable[Atoms]
"""A file ASE reads, one structure, or any number of them."""

_EXPECTED = "expected the path of a file, an ase.Atoms, or a list of ase.Atoms"


def as_structures(structures: Structures, what: str = "structures") -> list[Atoms]:
    """Return a list of structures: those of a file, one alone, or those given, which are not copied.

    Args:
        structures: path of a file ASE reads, an ``ase.Atoms``, or any number of ``ase.Atoms``.
        what: what to call them in messages.

    Raises:
        StructureError: if it is anything else, or the file cannot be read.
    """
    if isinstance(structures, str | os.PathLike):
        return read_structures(os.fspath(structures))
    if isinstance(structures, Atoms):
        return [structures]
    if not isinstance(structures, Iterable):
        raise StructureError(f"{what}: got {_described(structures)}; {_EXPECTED}")
    listed = list(structures)
    for index, atoms in enumerate(listed):
        if not isinstance(atoms, Atoms):
            raise StructureError(f"{what}: number {index} is {_described(atoms)}; {_EXPECTED}")
    return listed


def as_structure(structure: Structures, index: int | None = None) -> Atoms:
    """Return one structure, given as itself, or alone in a file or list.

    Args:
        structure: as for :func:`as_structures`.
        index: which one of several, from 0.

    Raises:
        StructureError: if it is anything else, if there are several and no index, or none of this index.
    """
    if isinstance(structure, Atoms):
        return structure
    found = as_structures(structure, "the structure")
    source = os.fspath(structure) if isinstance(structure, str | os.PathLike) else "the list"
    if index is None and len(found) != 1:
        raise StructureError(
            f"{source} holds {len(found)} structures; choose one with --index (in Python: index), from 0"
        )
    if not 0 <= (index or 0) < len(found):
        raise StructureError(f"{source} has no structure {index}; it holds {len(found)}, counted from 0")
    return found[index or 0]


def _described(value: object) -> str:
    text = repr(value)
    return f"a {type(value).__name__}" + (f" ({text})" if len(text) <= 40 else "")
