"""Point groups in their standard frame: operations and character tables, read off pymsym and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import StructureError
from hamlearn.types import FloatArray

LINEAR_FOLD = 14
"""Linear molecules are treated in C14v and D14h: exact for all matrices over orbitals with l <= LARGEST_L_LINEAR."""
LARGEST_L_LINEAR = (LINEAR_FOLD - 1) // 2
FINITE_SUBGROUP = {"Cinfv": f"C{LINEAR_FOLD}v", "Dinfh": f"D{LINEAR_FOLD}h"}
_GREEK = ("Sigma", "Pi", "Delta", "Phi", "Gamma", "Eta", "Iota")
_LABEL = re.compile(r"([ABETGH])(\d*)(.*)")


@dataclass(frozen=True, eq=False, repr=False)
class CharacterTable(ByValue, Shown):
    """Real irreducible characters; a complex pair of a cyclic group or of T and Th counts as one two-dimensional E.

    Attributes:
        irreps: Mulliken labels, for linear molecules such as ``Sigma_g+`` and ``Pi_u``.
        dimensions: [irrep].
        characters: of every operation [irrep, operation], in the order of the group's operations.
    """

    irreps: tuple[str, ...]
    dimensions: tuple[int, ...]
    characters: FloatArray

    @cached_property
    def norms(self) -> FloatArray:
        """Mean of the squared characters [irrep]: 1, or 2 for a complex pair."""
        return np.asarray((self.characters**2).mean(axis=1))

    def index(self, irrep: str) -> int:
        """Return the row of an irrep.

        Raises:
            StructureError: if the group has none of this name.
        """
        if irrep not in self.irreps:
            raise StructureError(f"the point group has no irrep '{irrep}'; it has {', '.join(self.irreps)}")
        return self.irreps.index(irrep)

    def multiplicities(self, character: FloatArray) -> dict[str, int]:
        """Return how often each irrep occurs: n = <chi_irrep, chi> / <chi_irrep, chi_irrep>.

        Args:
            character: of a representation [operation].

        Raises:
            StructureError: if the numbers are no integers: not a character of this group.
        """
        found = self.characters @ character / character.size / self.norms
        counts = np.rint(found).astype(int)
        if abs(found - counts).max() > 1e-3 or (counts < 0).any():
            told = ", ".join(f"{x:.3f} {name}" for name, x in zip(self.irreps, found, strict=True) if abs(x) > 1e-3)
            raise StructureError(f"this is no representation of the point group: it would hold {told}")
        return {name: int(n) for name, n in zip(self.irreps, counts, strict=True) if n}


@dataclass(frozen=True, eq=False)
class StandardGroup:
    """A point group in a standard frame.

    Attributes:
        rotations: orthogonal matrices [operation, 3, 3].
        table: its characters.
    """

    rotations: FloatArray
    table: CharacterTable


@lru_cache(maxsize=64)
def standard_group(name: str) -> StandardGroup:
    """Return operations and characters of a point group, Cinfv and Dinfh by their subgroups C14v and D14h.

    Args:
        name: Schoenflies symbol.

    Raises:
        StructureError: if there is no such group or its table is not orthogonal.

    Source: libmsym (pymsym); rows are verified to be orthogonal and to hold the dimensions.
    """
    rotations, labels, dimensions, characters = _from_pymsym(FINITE_SUBGROUP.get(name, name))
    rename = _linear_label if name in FINITE_SUBGROUP else _shortest(labels)
    renamed = [rename(label) for label in labels]
    kept = sorted((i for i, label in enumerate(renamed) if label), key=lambda i: _rank(labels[i]))
    table = CharacterTable(
        tuple(str(renamed[i]) for i in kept), tuple(dimensions[i] for i in kept), np.ascontiguousarray(characters[kept])
    )
    _check(name, rotations, table, complete=len(kept) == len(labels))
    for array in (rotations, table.characters):
        array.setflags(write=False)
    return StandardGroup(rotations, table)


def _from_pymsym(name: str) -> tuple[FloatArray, list[str], list[int], FloatArray]:
    import pymsym

    try:
        with pymsym.Context() as context:
            context.point_group = name
            operations, table = context.symmetry_operations, context.character_table
            species = [(str(s.name), int(s.dim)) for s in table.symmetry_species]
            by_class = np.array(table.table, dtype=np.float64)
            rotations = np.array([_matrix(operation) for operation in operations])
            characters = by_class[:, [operation.conjugacy_class for operation in operations]]
    except (pymsym.Error, ValueError, AttributeError) as error:
        raise StructureError(
            f"there is no point group '{name}' ({error}); expected C1 to Ih in Schoenflies' way"
        ) from None
    return rotations, [label for label, _ in species], [dimension for _, dimension in species], characters


def _matrix(operation: Any) -> FloatArray:
    """The orthogonal matrix of an operation of pymsym."""
    if operation.type == operation.IDENTITY[0]:
        return np.eye(3)
    if operation.type == operation.INVERSION:
        return -np.eye(3)
    axis = np.array(operation.vector) / np.linalg.norm(operation.vector)
    mirror = np.eye(3) - 2 * np.outer(axis, axis)
    if operation.type == operation.REFLECTION:
        return mirror
    angle = 2 * np.pi * operation.power / operation.order
    cross = np.cross(np.eye(3), -axis)
    rotation = np.cos(angle) * np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * np.outer(axis, axis)
    return rotation @ mirror if operation.type == operation.IMPROPER_ROTATION else rotation


def _shortest(labels: list[str]) -> Any:
    """Return the function that drops the number of a label whose letter is never numbered 2 (E1g alone is Eg)."""
    numbered = {match[1] for label in labels if (match := _LABEL.fullmatch(label)) and match[2] not in ("", "1")}

    def rename(label: str) -> str:
        match = _LABEL.fullmatch(label)
        return label if match is None or match[1] in numbered else match[1] + match[3]

    return rename


def _linear_label(label: str) -> str | None:
    """Label of the infinite group for one of C14v or D14h; None for those no orbital with l <= 6 reaches."""
    match = _LABEL.fullmatch(label)
    if match is None or match[1] == "B":
        return None
    parity = f"_{match[3]}" if match[3] else ""
    if match[1] == "E":
        return _GREEK[int(match[2])] + parity
    keeps_mirror = (match[2] == "1") != (match[3] == "u")  # A1, A1g, A2u: +1 under the planes through the axis
    return f"Sigma{parity}" + ("+" if keeps_mirror else "-")


def _rank(label: str) -> tuple[str, int, int]:
    match = _LABEL.fullmatch(label)
    return (match[3], "ABETGH".index(match[1]), int(match[2] or 0)) if match else (label, 0, 0)


def _check(name: str, rotations: FloatArray, table: CharacterTable, complete: bool) -> None:
    """Raise unless the rows are orthogonal, begin with their dimensions and, all together, exhaust the group."""
    order = len(rotations)
    gram = table.characters @ table.characters.T / order
    identity = int(np.argmax(np.trace(rotations, axis1=1, axis2=2)))
    whole = (np.array(table.dimensions) ** 2 / np.diag(gram)).sum()
    bad = (
        abs(gram - np.diag(np.rint(np.diag(gram)))).max() > 1e-10
        or abs(table.characters[:, identity] - table.dimensions).max() > 1e-10
        or (complete and abs(whole - order) > 1e-8)
    )
    if bad:
        raise StructureError(f"the character table of {name} is not orthogonal; use another version of pymsym")
