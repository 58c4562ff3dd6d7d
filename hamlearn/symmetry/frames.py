"""Lay a standard frame on a molecule: which operation is which, and which of equivalent choices of axes is meant.

The choice decides between B1 and B2 and the like. It follows R. S. Mulliken, J. Chem. Phys. 23, 1997 (1955): a planar
molecule of C2v lies in yz, one of D2h in yz with most atoms on z; the axes C2' (Dn, Dnh) and mirrors sigma_v (Cnv)
under which B1 is even go through most atoms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from hamlearn.errors import StructureError
from hamlearn.symmetry.characters import StandardGroup
from hamlearn.symmetry.naming import axis, is_reflection, rotation_angle
from hamlearn.ties import first_of_best
from hamlearn.types import FloatArray, IntArray

_CUBIC = ("T", "Th", "Td", "O", "Oh", "I", "Ih")
_ON_ELEMENT_ANGSTROM = 0.1  # atoms this near count as on an axis or in a plane
_SAME_SUM = 1e-6  # atomic number x Å: nearer sums of distances are the same


def fit_frame(
    name: str, standard: StandardGroup, rotations: FloatArray, x: FloatArray, numbers: IntArray
) -> tuple[FloatArray, IntArray]:
    """Return the frame Q [3, 3] with R_g = Q D_g Q^T and the place of every standard operation among ``rotations``.

    Args:
        name: Schoenflies symbol of the group.
        standard: the group in its standard frame, operations D_g.
        rotations: the molecule's operations, in any order, good to a few degrees [operation, 3, 3].
        x: positions about the centre [atom, 3], Å.
        numbers: atomic numbers [atom].

    Raises:
        StructureError: if the operations are not those of the group.
    """
    best: tuple[tuple[float, ...], FloatArray, IntArray] | None = None
    for frame in _frames(standard.rotations, rotations):
        order = _matched(frame, standard.rotations, rotations)
        if order is None:
            continue
        frame = _refined(frame, standard.rotations, rotations[order])
        score = _score(name, standard, frame, x, numbers)
        if best is None or _is_better(score, best[0]):
            best = score, frame, order
        if name in _CUBIC:  # every frame gives the same labels
            break
    if best is None:
        raise StructureError(f"the operations found are not those of {name}; use a smaller tolerance")
    return best[1], best[2]


def _frames(standard: FloatArray, rotations: FloatArray) -> Iterator[FloatArray]:
    """Frames that lay one or two axes of the standard group on axes of the molecule that could be their images."""
    theirs = [_kind(r) for r in standard]
    ours = [_kind(r) for r in rotations]
    directed = [i for i, kind in enumerate(theirs) if kind[1] > 0]
    if not directed:
        yield np.eye(3)
        return
    a = min(directed, key=lambda i: (theirs.count(theirs[i]), theirs[i]))
    a_axis = axis(standard[a])
    oblique = [i for i in directed if abs(axis(standard[i]) @ a_axis) < 0.99]
    b = min(oblique, key=lambda i: (theirs.count(theirs[i]), theirs[i])) if oblique else None
    for u in _images(a, theirs, ours, rotations):
        if b is None:
            yield _any_rotation(u) @ _any_rotation(a_axis).T
            continue
        b_axis = axis(standard[b])
        for v in _images(b, theirs, ours, rotations):
            if abs(u @ v - a_axis @ b_axis) < 0.2:
                yield _frame(u, v) @ _frame(a_axis, b_axis).T


def _kind(rotation: FloatArray) -> tuple[float, float]:
    """Handedness and angle, degrees; (±1, 0) for the identity and the inversion."""
    return float(np.sign(np.linalg.det(rotation))), round(float(np.degrees(rotation_angle(rotation))), 3)


def _images(
    index: int, theirs: list[tuple[float, float]], ours: list[tuple[float, float]], rotations: FloatArray
) -> Iterator[FloatArray]:
    """Both senses of the axes of the molecule's operations that are as the standard one, within 10 degrees."""
    sign, angle = theirs[index]
    for kind, rotation in zip(ours, rotations, strict=True):
        if kind[0] == sign and abs(kind[1] - angle) <= 10:
            yield axis(rotation)
            yield -axis(rotation)


def _frame(a: FloatArray, b: FloatArray) -> FloatArray:
    w = np.cross(a, b)
    w /= np.linalg.norm(w)
    return np.stack([a, np.cross(w, a), w], axis=1)


def _any_rotation(z: FloatArray) -> FloatArray:
    """A frame whose first column is z."""
    return _frame(z, across(z))


def across(z: FloatArray) -> FloatArray:
    """The first of the Cartesian axes that are farthest from z."""
    return np.eye(3)[first_of_best(1 - abs(z))]


def _matched(frame: FloatArray, standard: FloatArray, rotations: FloatArray) -> IntArray | None:
    """The place of Q D_g Q^T among the rotations [operation]; None unless it is one to one."""
    turned = (frame @ standard @ frame.T).reshape(-1, 9)
    distance = np.linalg.norm(turned[:, None] - rotations.reshape(1, -1, 9), axis=2)
    order = distance.argmin(axis=1)  # no ties: frames lie along axes of these rotations, nowhere half a step between
    return order if len(np.unique(order)) == len(order) and distance.min(axis=1).max() < 0.5 else None


def _refined(frame: FloatArray, standard: FloatArray, rotations: FloatArray) -> FloatArray:
    """The frame that fits all operations, by averaging it over the group."""
    for _ in range(30):
        left, _, right = np.linalg.svd(np.einsum("gij,jk,glk->il", rotations, frame, standard))
        frame, before = left @ right, frame
        if abs(frame - before).max() < 1e-15:
            break
    return frame


def _score(
    name: str, standard: StandardGroup, frame: FloatArray, x: FloatArray, numbers: IntArray
) -> tuple[float, ...]:
    """How well a frame follows the convention; larger is better, () where there is no choice."""

    def occupied(irrep: str, mirrors: bool, plane: bool) -> tuple[float, ...]:
        return _occupied(_even(standard, irrep, mirrors), plane, frame, x, numbers)

    if name == "C2v":
        return occupied("B2", mirrors=True, plane=True)
    if name in ("D2", "D2h"):
        suffix = "g" if name == "D2h" else ""
        return occupied(f"B3{suffix}", False, plane=True) + occupied(f"B1{suffix}", False, plane=False)
    match = re.fullmatch(r"([CD])(\d+)(v|h|)", name)
    if not match or int(match[2]) % 2 or (match[1] == "C" and match[3] != "v"):
        return ()
    mirrors = match[1] == "C"
    return occupied("B1g" if match[3] == "h" else "B1", mirrors, plane=mirrors)


def _even(standard: StandardGroup, irrep: str, mirrors: bool) -> FloatArray:
    """Axis of the first mirror or two-fold rotation under which a one-dimensional irrep is even."""
    row = standard.table.characters[standard.table.index(irrep)]
    main = _main_axis(standard.rotations)
    for rotation, character in zip(standard.rotations, row, strict=True):
        wanted = is_reflection(rotation) if mirrors else _is_two_fold(rotation)
        if wanted and character > 0.5 and (main is None or abs(axis(rotation) @ main) < 0.5):
            return axis(rotation)
    raise StructureError(f"no operation leaves {irrep} even")


def _main_axis(rotations: FloatArray) -> FloatArray | None:
    """The axis of more than two folds; None without one."""
    higher = [r for r in rotations if np.linalg.det(r) > 0 and 0.1 < rotation_angle(r) < np.pi - 0.1]
    return axis(higher[0]) if higher else None


def _is_two_fold(rotation: FloatArray) -> bool:
    return bool(np.linalg.det(rotation) > 0 and rotation_angle(rotation) > np.pi - 0.1)


def _occupied(
    direction: FloatArray, plane: bool, frame: FloatArray, x: FloatArray, numbers: IntArray
) -> tuple[float, ...]:
    """Atoms, and their total atomic number, on an axis or in the plane across it; then how near the others are."""
    along = x @ (frame @ direction)
    distance = abs(along) if plane else np.sqrt(np.maximum((x**2).sum(axis=1) - along**2, 0))
    near = distance < _ON_ELEMENT_ANGSTROM
    return float(near.sum()), float(numbers[near].sum()), -float(numbers @ distance)


def _is_better(score: tuple[float, ...], best: tuple[float, ...]) -> bool:
    """Whether a score is larger, by more than rounding, in the first place where they differ."""
    differences = (new - old for new, old in zip(score, best, strict=True))
    return next((difference > 0 for difference in differences if abs(difference) > _SAME_SUM), False)
