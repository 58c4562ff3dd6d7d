"""How the operations of a molecule act on its atomic orbitals, and what follows for matrices over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.errors import BasisError, StructureError
from hamlearn.symmetry.characters import FINITE_SUBGROUP, LARGEST_L_LINEAR
from hamlearn.symmetry.naming import rotation_angle
from hamlearn.symmetry.operations import Operation
from hamlearn.symmetry.point_group import PointGroup
from hamlearn.types import FloatArray, IntArray


def representation(group: PointGroup, orbitals: Orbitals, numbers: Sequence[int] | IntArray) -> FloatArray:
    """Return P_g [operation, ao, ao], permutation times Wigner D, with H(g A) = P_g H(A) P_g^T, PySCF's order.

    Args:
        group: point group of the molecule.
        orbitals: shells and order.
        numbers: atomic numbers [atom].

    Raises:
        StructureError: if the group was found for another molecule.
        BasisError: for orbitals with l > 6 on a linear molecule.

    Every P_g is orthogonal; if R turns the molecule by T, P_g becomes T P_g T^T.
    """
    _check_molecule(group, orbitals, numbers)
    return np.array([_action(operation, orbitals, numbers) for operation in group.operations])


def decompose(group: PointGroup, orbitals: Orbitals, numbers: Sequence[int] | IntArray) -> dict[str, int]:
    """Return how often every irrep occurs in the atomic orbitals; only atoms an operation leaves in place count.

    Args:
        group: point group of the molecule.
        orbitals: shells and order.
        numbers: atomic numbers [atom].

    Raises:
        StructureError: if the group was found for another molecule.
        BasisError: for orbitals with l > 6 on a linear molecule.
    """
    _check_molecule(group, orbitals, numbers)
    numbers = np.asarray(numbers)
    character = np.zeros(len(group.operations))
    for index, operation in enumerate(group.operations):
        for atom in np.flatnonzero(operation.permutation == np.arange(len(numbers))):
            shells = orbitals.shells[int(numbers[atom])]
            character[index] += sum(_shell_character(operation.rotation, l) for _, l in shells)
    return group.characters.multiplicities(character)


def projector(group: PointGroup, irrep: str, representation: FloatArray) -> FloatArray:
    """Return (d/|G|) sum_g chi(g) P_g [ao, ao], on all that transforms as an irrep (on both of a complex pair).

    Args:
        group: point group of the molecule.
        irrep: its label.
        representation: P_g [operation, ao, ao].

    Raises:
        StructureError: if the group has no such irrep.
    """
    table = group.characters
    row = table.index(irrep)
    weights = table.characters[row] * table.dimensions[row] / table.norms[row] / len(representation)
    return np.asarray(np.tensordot(weights, representation, axes=1))


def group_average(matrix: FloatArray, representation: FloatArray) -> FloatArray:
    """Return (1/|G|) sum_g P_g M P_g^T [ao, ao], the nearest matrix with the symmetry of the group.

    Args:
        matrix: [ao, ao].
        representation: P_g [operation, ao, ao].

    Raises:
        BasisError: if the matrix is of another size.
    """
    check_size(matrix, representation)
    return np.asarray(sum(p @ matrix @ p.T for p in representation) / len(representation))


def violation(matrix: FloatArray, representation: FloatArray) -> float:
    """Return the largest element of |P_g M P_g^T - M| over all operations, in the unit of M.

    Args:
        matrix: [ao, ao].
        representation: P_g [operation, ao, ao].

    Raises:
        BasisError: if the matrix is of another size.
    """
    check_size(matrix, representation)
    return max((float(abs(p @ matrix @ p.T - matrix).max()) for p in representation), default=0.0)


def check_size(matrix: FloatArray, representation: FloatArray) -> None:
    """Raise BasisError unless a matrix [ao, ao] has the size of the representation."""
    n = representation.shape[-1]
    if np.shape(matrix) != (n, n):
        raise BasisError(
            f"the matrix has shape {np.shape(matrix)}, the molecule has {n} orbitals: expected ({n}, {n}); give the "
            "matrix and the orbitals of one basis"
        )


def _action(operation: Operation, orbitals: Orbitals, numbers: Sequence[int] | IntArray) -> FloatArray:
    order = np.argsort(operation.permutation)  # the atom that arrives at each place
    return ao_rotation(orbitals, numbers, operation.rotation)[ao_permutation(orbitals, numbers, order)]


def _shell_character(rotation: FloatArray, l: int) -> float:
    """Trace of D^l(R): 1 + 2 sum_m cos(m angle), times the parity (-1)^l of -R."""
    angle = rotation_angle(rotation)
    sign = -1.0 if np.linalg.det(rotation) < 0 and l % 2 else 1.0
    return sign * (1 + 2 * float(np.cos(angle * np.arange(1, l + 1)).sum()))


def _check_molecule(group: PointGroup, orbitals: Orbitals, numbers: Sequence[int] | IntArray) -> None:
    numbers = np.asarray(numbers)
    permutations = group.permutations
    if len(numbers) != permutations.shape[1] or (numbers[permutations] != numbers).any():
        raise StructureError(
            f"the point group was found for another molecule ({permutations.shape[1]} atoms) than these "
            f"{len(numbers)} atoms; find the group of this one"
        )
    largest_l = max((l for z in set(numbers.tolist()) for _, l in orbitals.shells[int(z)]), default=0)
    if group.name in FINITE_SUBGROUP and largest_l > LARGEST_L_LINEAR:
        raise BasisError(
            f"the basis has orbitals with l = {largest_l}; linear molecules are treated up to l = {LARGEST_L_LINEAR}: "
            "choose a smaller basis"
        )
