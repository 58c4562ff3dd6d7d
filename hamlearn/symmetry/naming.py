"""The Schoenflies symbol of a group of rotations."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from hamlearn.ties import with_fixed_sign
from hamlearn.types import FloatArray, IntArray


def schoenflies(rotations: FloatArray, permutations: IntArray) -> str:
    """Return the Schoenflies symbol of the group of a molecule that is not linear.

    Args:
        rotations: orthogonal matrices of all operations [operation, 3, 3], good to a few degrees.
        permutations: what they do to the atoms [operation, atom]; they tell a rotation's fold exactly.
    """
    proper = np.linalg.det(rotations) > 0
    order, half = len(rotations), int(proper.sum())
    inverted = any(abs(r + np.eye(3)).max() < 0.5 for r in rotations)
    folds = np.array([_permutation_order(p) for p in permutations[proper]])
    fold = int(folds.max())
    if (folds == 3).sum() > 2:
        return _cubic(half, order, inverted)
    if half == 1:
        return "C1" if order == 1 else "Ci" if inverted else "Cs"
    family = "C" if half == fold else "D"
    if order == half:
        return f"{family}{fold}"
    main = rotations[proper][folds == fold]
    normals = [axis(r) for r in rotations[~proper] if is_reflection(r)]
    # dihedral groups of two-fold axes have three: only D2h has a mirror across one of them that is not the main axis
    if any(abs(axis(r) @ n) > 0.9 for r in main for n in normals):
        return f"{family}{fold}h"
    if family == "D":
        return f"D{fold}d"
    return f"C{fold}v" if normals else f"S{2 * fold}"


def _cubic(half: int, order: int, inverted: bool) -> str:
    name = {12: "T", 24: "O", 60: "I"}[half]
    if order == half:
        return name
    return name + ("d" if name == "T" and not inverted else "h")


def rotation_angle(rotation: FloatArray) -> float:
    """Return the angle, radians in [0, pi], of R if proper, of -R if improper."""
    cosine = (np.sign(np.linalg.det(rotation)) * np.trace(rotation) - 1) / 2
    return float(np.arccos(np.clip(cosine, -1, 1)))


def _permutation_order(permutation: IntArray) -> int:
    """How often a permutation must be repeated to give the identity."""
    order, power = 1, permutation
    while (power != np.arange(len(permutation))).any():
        order, power = order + 1, permutation[power]
    return order


def is_reflection(rotation: FloatArray) -> bool:
    """Tell whether R is a mirror."""
    return bool(np.linalg.det(rotation) < 0 and rotation_angle(rotation) > np.pi - 0.1)


def axis(rotation: FloatArray) -> FloatArray:
    """Return the unit axis of R if proper, of -R if improper (the normal of a mirror), sense by the right hand."""
    r = np.sign(np.linalg.det(rotation)) * rotation
    direction = np.linalg.eigh(r + r.T)[1][:, -1]
    sense = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]) @ direction
    if abs(sense) < 1e-6:  # half a turn or a mirror has none
        return with_fixed_sign(direction)
    return np.asarray(-direction if sense < 0 else direction)


def operation_symbol(rotation: FloatArray) -> str:
    """Return E, i, sigma, or C_n and S_n with the fold of the rotation, such as C6 or S4; powers are not told.

    Args:
        rotation: orthogonal matrix [3, 3], exact to rounding.
    """
    angle = rotation_angle(rotation)
    if np.linalg.det(rotation) > 0:
        return "E" if angle < 1e-6 else f"C{_fold(angle)}"
    if angle < 1e-6:
        return "i"
    return "sigma" if is_reflection(rotation) else f"S{_fold(np.pi - angle)}"


def _fold(angle: float) -> int:
    return Fraction(angle / (2 * np.pi)).limit_denominator(60).denominator


def orbital_name(irrep: str) -> str:
    """Return an irreducible representation as orbitals and their levels are called: small letters, e1g of E1g.

    Capital letters are for the representations themselves, for vibrations' and states'.
    """
    return irrep.lower()
