"""Irreps of vibrations, by the machinery of the orbitals: a displacement is a p function on every atom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.angular.ao_order import P_IN_PYSCF, Orbitals
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.structures.normal_modes import normal_modes
from hamlearn.symmetry.adapted import adapted_levels
from hamlearn.symmetry.point_group import PointGroup
from hamlearn.symmetry.representations import group_average, projector, representation
from hamlearn.ties import tied_ranks
from hamlearn.types import FloatArray
from hamlearn.units import HARTREE_WAVENUMBER

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, eq=False, repr=False)
class Vibration(ByValue, Shown):
    """A vibration and its partners.

    Attributes:
        irrep: of the point group.
        wavenumber: 1/cm, negative if imaginary.
        displacements: [partner, atom, 3], each of unit norm: q Å along one of them displaces the atoms by q times it.
            The first partner keeps as many operations of the group as any can.
    """

    irrep: str
    wavenumber: float
    displacements: FloatArray


def displacement_orbitals(species: Iterable[int]) -> Orbitals:
    """Return one p shell per element, which transforms as the displacement of an atom: x, y, z."""
    elements = sorted({int(z) for z in species})
    return Orbitals(dict.fromkeys(elements, ((2, 1),)), dict.fromkeys(elements, P_IN_PYSCF))


def vibrations(atoms: Atoms, hessian: ArrayLike, group: PointGroup) -> tuple[Vibration, ...]:
    """Return the vibrations of a molecule with their irreps, in order of wavenumber.

    Args:
        atoms: the structure, Å.
        hessian: second derivatives of the energy [3N, 3N], Hartree/Bohr^2, made symmetric by the group.
        group: point group of the structure.

    Raises:
        ConfigError: if the Hessian has another shape, is not finite or not symmetric.

    Displacements rotate and permute with the atoms, up to mixing of partners. Source: E. B. Wilson, J. C. Decius,
    P. C. Cross, Molecular Vibrations (McGraw-Hill, 1955), chapters 5 and 6.
    """
    operations = representation(group, displacement_orbitals(atoms.numbers.tolist()), atoms.numbers)
    modes = normal_modes(atoms, group_average(np.asarray(hessian, dtype=np.float64), operations))
    found = []
    for irrep, dimension in zip(group.characters.irreps, group.characters.dimensions, strict=True):
        onto = modes.vectors @ projector(group, irrep, operations) @ modes.vectors.T
        squares = np.sign(modes.frequencies) * modes.frequencies**2
        levels = adapted_levels(np.diag(squares), onto, dimension)
        for square, vectors in zip(levels.energies, levels.vectors, strict=True):
            weighted = _symmetric_partner_first(vectors @ modes.vectors, operations)
            moved = weighted * modes.inverse_root_masses
            moved /= np.linalg.norm(moved, axis=1, keepdims=True)
            wavenumber = HARTREE_WAVENUMBER * float(np.sign(square) * np.sqrt(abs(square)))
            found.append(Vibration(irrep, wavenumber, moved.reshape(dimension, -1, 3)))
    order = np.argsort(tied_ranks([vibration.wavenumber for vibration in found]), kind="stable")
    return tuple(found[k] for k in order)


def _symmetric_partner_first(partners: FloatArray, operations: FloatArray) -> FloatArray:
    """Turn orthonormal partners [partner, 3N] so that the first is left alone by as many operations as possible."""
    within = partners @ operations @ partners.T
    best, most = np.eye(len(partners))[0], 0
    for matrix in within:
        values, vectors = np.linalg.eigh(matrix + matrix.T)
        if len(values) > 1 and values[-1] > 2 - 1e-6 > values[-2]:  # one direction stays as it is
            kept = int((np.linalg.norm(within @ vectors[:, -1] - vectors[:, -1], axis=1) < 1e-6).sum())
            if kept > most:
                best, most = vectors[:, -1], kept
    turned = np.linalg.qr(np.column_stack([best, np.eye(len(partners))]))[0].T
    return turned @ partners
