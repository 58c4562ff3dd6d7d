"""Conjugacy classes of the operations of a point group, named as in character tables: C2', sigma_d, C5^2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from hamlearn.display import Shown
from hamlearn.symmetry.characters import CharacterTable
from hamlearn.symmetry.naming import axis, operation_symbol, rotation_angle
from hamlearn.types import FloatArray

_ORDER_IH = 120
_ALONG = 0.99
"""Cosine from which on two axes are one."""


@dataclass(frozen=True, repr=False)
class OperationClass(Shown):
    """Operations that the group turns into each other.

    Attributes:
        name: such as C6, C5^2, C2', S4, sigma_h.
        members: positions in the group's operations.
    """

    name: str
    members: tuple[int, ...]


def operation_classes(rotations: FloatArray, characters: CharacterTable) -> tuple[OperationClass, ...]:
    """Return the classes of a group, rotations first, then what they are times the inversion or a mirror.

    C2' and sigma_v are those that B1 leaves as they are, as tables have it; where three twofold axes are alike in
    rank (D2, D2h), C2(z), C2(y) and C2(x) are those of B1, B2 and B3.

    Args:
        rotations: orthogonal matrices of all operations [operation, 3, 3].
        characters: of the same operations, in their order.
    """
    found = _Found(rotations, characters, _conjugates(rotations))
    symbols = [_symbol(rotation) for rotation in found.first]
    names = _with_powers(symbols)
    _name_twofold(names, [k for k, symbol in enumerate(symbols) if symbol == "C2"], found)
    _name_mirrors(names, [k for k, symbol in enumerate(symbols) if symbol == "sigma"], found)
    order = sorted(range(len(names)), key=lambda k: _rank(names[k], symbols[k]))
    return tuple(OperationClass(names[k], tuple(found.members[k])) for k in order)


@dataclass(frozen=True, eq=False)
class _Found:
    """The classes of a group before they have names."""

    rotations: FloatArray
    characters: CharacterTable
    members: list[list[int]]

    @property
    def first(self) -> FloatArray:
        """One operation of each class [class, 3, 3]."""
        return self.rotations[[group[0] for group in self.members]]

    @cached_property
    def main(self) -> FloatArray:
        """Axes of the highest fold [axis, 3]: of D2d and S4 those of S4, as all proper ones are twofold; of D2 none."""
        folds = [_fold(r) for r in self.rotations]
        highest = max(folds)
        proper = [axis(r) for r, fold in zip(self.rotations, folds, strict=True) if fold == highest > 1]
        improper = [axis(r) for r in self.rotations if operation_symbol(r)[0] == "S" and highest == 2]
        return np.array(improper or proper).reshape(-1, 3)

    def are_single(self, classes: Sequence[int]) -> bool:
        """Whether these are three of one operation each, as in D2 and D2h."""
        return len(classes) == 3 and all(len(self.members[k]) == 1 for k in classes)

    def by_irreps(self, classes: Sequence[int], irreps: Sequence[str]) -> list[int]:
        """Return classes in the order of the irreps that leave them as they are; the others as they come."""
        left, ordered = list(classes), list[int]()
        rows = dict(zip((name.rstrip("g") for name in self.characters.irreps), self.characters.characters, strict=True))
        for row in (rows[name] for name in irreps if name in rows):
            ordered += [k for k in left if row[self.members[k][0]] > 0.5][:1]
            left = [k for k in left if k not in ordered]
        return ordered + left


def _conjugates(rotations: FloatArray) -> list[list[int]]:
    """Return the positions of the operations of each class."""
    left, found = set(range(len(rotations))), []
    while left:
        first = min(left)
        turned = np.einsum("gij,jk,glk->gil", rotations, rotations[first], rotations)
        distance = abs(turned[:, None] - rotations[None]).max(axis=(2, 3))  # [by, operation]
        group = sorted(set(distance.argmin(axis=1).tolist()))
        found.append(group)
        left -= set(group)
    return found


def _symbol(rotation: FloatArray) -> str:
    """Return the symbol with the smallest power: C5, C5^2, S5, S5^3."""
    symbol = operation_symbol(rotation)
    if symbol[0] not in "CS":
        return symbol
    angle = rotation_angle(rotation)
    part = Fraction((angle if symbol[0] == "C" else np.pi - angle) / (2 * np.pi)).limit_denominator(60)
    power = part.numerator
    if symbol[0] == "S" and power % 2 == 0:
        power = part.denominator - power  # an even power of S_n is a rotation
    return symbol if power == 1 else f"{symbol}^{power}"


def _with_powers(symbols: Sequence[str]) -> list[str]:
    """Return names in which a turn and the turn back, where they are two classes, are two powers."""
    names, seen = list(symbols), Counter[str]()
    for k, symbol in enumerate(symbols):
        seen[symbol] += 1
        if seen[symbol] == 2 and symbol[0] in "CS" and symbol != "C2":
            base, _, power = symbol.partition("^")
            fold = int(base[1:]) * (2 if base[0] == "S" and int(base[1:]) % 2 else 1)
            names[k] = f"{base}^{fold - int(power or 1)}"
    return names


def _fold(rotation: FloatArray) -> int:
    symbol = operation_symbol(rotation)
    return int(symbol[1:]) if symbol[0] == "C" else 1


def _name_twofold(names: list[str], classes: Sequence[int], found: _Found) -> None:
    if found.are_single(classes):
        for k, letter in zip(found.by_irreps(classes, ("B1", "B2", "B3")), "zyx", strict=True):
            names[k] = f"C2({letter})"
    elif len(classes) > 1:  # about the main axis, or the square of another, is C2 itself
        squares = found.rotations @ found.rotations
        rest = [k for k in classes if not _is_along(axis(found.first[k]), found.main)]
        rest = [k for k in rest if not _holds(squares, found.first[k])]
        for primes, k in enumerate(found.by_irreps(rest, ("B1",)), start=1):
            names[k] = "C2" + "'" * primes


def _name_mirrors(names: list[str], classes: Sequence[int], found: _Found) -> None:
    if found.are_single(classes):
        across = {names[j][3]: axis(rotation) for j, rotation in enumerate(found.first) if names[j].startswith("C2(")}
        for k in classes:
            letter = next(x for x, half in across.items() if abs(half @ axis(found.first[k])) > _ALONG)
            names[k] = f"sigma({'xyz'.replace(letter, '')})"
        return
    icosahedral = len(found.rotations) == _ORDER_IH  # its mirrors are all alike
    cubic = bool(len(found.main)) and np.linalg.matrix_rank(found.main, tol=0.1) == 3
    vertical = []
    for k in [] if icosahedral else classes:
        if cubic:
            names[k] = "sigma_h" if len(found.members[k]) == 3 else "sigma_d"
        elif len(found.rotations) == 2 or _is_along(axis(found.first[k]), found.main):
            names[k] = "sigma_h"
        else:
            vertical.append(k)
    _name_vertical(names, vertical, found)


def _name_vertical(names: list[str], classes: Sequence[int], found: _Found) -> None:
    """Name mirrors that hold the main axis: sigma_v hold or stand across C2', sigma_d lie between twofold axes."""
    normals = {k: [axis(found.rotations[g]) for g in found.members[k]] for k in classes}
    halves = {k: [axis(found.rotations[g]) for g in group] for k, group in enumerate(found.members)}
    if len(classes) == 1:
        turns = [h for k, name in enumerate(names) if name.startswith("C2") for h in halves[k]]
        turns = [h for h in turns if not _is_along(h, found.main)]
        holds = any(abs(n @ h) < 1 - _ALONG for n in normals[classes[0]] for h in turns)
        names[classes[0]] = "sigma_d" if turns and not holds else "sigma_v"
    elif "C2'" in names:
        primed = halves[names.index("C2'")]
        for k in classes:
            names[k] = "sigma_v" if any(abs(normals[k][0] @ h) < 1 - _ALONG for h in primed) else "sigma_d"
    elif classes:
        other = "sigma_v'" if len(found.rotations) == 4 else "sigma_d"
        for k, name in zip(found.by_irreps(classes, ("B1",)), ("sigma_v", other), strict=True):
            names[k] = name


def _holds(rotations: FloatArray, rotation: FloatArray) -> bool:
    return bool((abs(rotations - rotation).max(axis=(1, 2)) < 1e-6).any())


def _is_along(direction: FloatArray, axes: FloatArray) -> bool:
    return bool(len(axes) and (abs(axes @ direction) > _ALONG).any())


def _rank(name: str, symbol: str) -> tuple[int, int, str]:
    kind, last = "ECiSs".index(symbol[0]), ("sigma_h", "sigma_v", "sigma_v'", "sigma_d", "C2(z)", "C2(y)", "C2(x)")
    fold = int("0" + "".join(filter(str.isdigit, symbol.partition("^")[0])))
    return kind, -fold, f"{last.index(name)}" if name in last else name
