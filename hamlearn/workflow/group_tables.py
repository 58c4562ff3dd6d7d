"""Operations, classes and characters of a point group as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hamlearn.angular.elements import symbol
from hamlearn.qm.molecule import formula
from hamlearn.symmetry import PointGroup

_AFTER_HYDROGEN = frozenset(["O", "S", "Se", "Te", "Po", "F", "Cl", "Br", "I", "At"])


def group_to_json(group: PointGroup) -> dict[str, Any]:
    """Return the character table and all operations; of linear molecules those of the finite group used.

    ``rotation`` [3, 3] acts about the centre of the molecule, and ``permutation[k]`` is the atom to whose place atom k
    goes. ``characters`` are in the order of ``classes``.
    """
    classes = group.classes
    name_of = {member: found.name for found in classes for member in found.members}
    rows = zip(group.characters.irreps, group.characters.characters, strict=True)
    return {
        "classes": [{"name": found.name, "operations": len(found.members)} for found in classes],
        "characters": {irrep: [_plain(row[found.members[0]]) for found in classes] for irrep, row in rows},
        "operations": [
            {
                "class": name_of[index],
                "rotation": [[_plain(x) for x in row] for row in operation.rotation.tolist()],
                "permutation": operation.permutation.tolist(),
            }
            for index, operation in enumerate(group.operations)
        ],
    }


def usual_formula(numbers: Iterable[int]) -> str:
    """Return a formula as chemists write it: without carbon, hydrogen before groups 16 and 17 alone (H2O, NH3)."""
    counts = Counter(symbol(int(number)) for number in numbers)
    written = formula(numbers)
    others = set(counts) - {"H"}
    if "C" in counts or "H" not in counts or not others or others & _AFTER_HYDROGEN:
        return written
    hydrogen = f"H{counts['H'] if counts['H'] > 1 else ''}"
    return written.removeprefix(hydrogen) + hydrogen


def _plain(value: float) -> float | int:
    """Return a number without its rounding: whole ones as such, tiny ones as 0."""
    whole = round(float(value))
    return whole if abs(value - whole) < 1e-12 else float(value)
