"""Walsh diagrams: levels along a path of structures, each followed by its symmetry and its continuity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import StructureError
from hamlearn.observables import Prediction
from hamlearn.structures.given import Structures, as_structures
from hamlearn.symmetry.adapted import AdaptedLevels, adapted_levels, orthonormal_form
from hamlearn.symmetry.point_group import PointGroup, point_group
from hamlearn.symmetry.representations import projector, representation
from hamlearn.ties import tied_ranks
from hamlearn.types import BoolArray, FloatArray
from hamlearn.units import HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, eq=False, repr=False)
class Track(ByValue, Shown):
    """One level followed along a path.

    Attributes:
        irrep: of the group all structures share.
        degeneracy: of the level.
        energies_ev: [structure], eV.
        occupied: [structure].
    """

    irrep: str
    degeneracy: int
    energies_ev: FloatArray
    occupied: BoolArray


def common_group(path: Structures, tolerance_angstrom: float = 0.02) -> PointGroup:
    """Return the point group that all structures of a path share: that of its least symmetric structure.

    Args:
        path: structures with the same atoms in the same order and the same orientation, Å, or a file of them.
        tolerance_angstrom: largest distance of an atom from its image, Å.

    Raises:
        StructureError: if the path is empty, the atoms differ, or no structure has just the symmetry of all.
    """
    path = as_structures(path, "the path")
    if not path:
        raise StructureError("the path is empty; give at least one structure")
    for step, atoms in enumerate(path):
        if list(atoms.numbers) != list(path[0].numbers):
            raise StructureError(f"structure {step} of the path has other atoms than the first; keep their order")
    group = min((point_group(atoms, tolerance_angstrom) for atoms in path), key=lambda found: found.order)
    for step, atoms in enumerate(path):
        deviation = _deviation(atoms, group)
        if deviation > tolerance_angstrom:
            raise StructureError(
                f"{group.name} is the smallest point group on the path, but structure {step} deviates from it by "
                f"{deviation:.3g} Å, more than {tolerance_angstrom:g} Å; orient all structures alike, or give a path "
                "with a structure that has only the symmetry common to all"
            )
    return group


def walsh_diagram(
    path: Structures, predictions: Sequence[Prediction], group: PointGroup | None = None
) -> tuple[Track, ...]:
    """Follow every level along a path of structures.

    Levels of different irreducible representations cross freely. Those of the same one are joined so that the
    orbitals of neighbouring structures overlap most, where overlap means sum_pq |<p|q>|^2 over the partners of two
    multiplets: an avoided crossing that the steps resolve stays avoided, a true crossing stays a crossing.

    Args:
        path: structures with the same atoms in the same order and the same orientation, Å, or a file of them.
        predictions: the Hamiltonian of each.
        group: symmetry of all structures; default :func:`common_group`.

    Returns:
        Tracks in order of the energies of the first structure. Rotation or permutation of the whole path leaves
        them as they are.

    Raises:
        StructureError: if there is not one Hamiltonian for each structure, or no common group.

    Source: A. D. Walsh, J. Chem. Soc. 1953, 2260; J. von Neumann, E. Wigner, Phys. Z. 30, 467 (1929).
    """
    path = as_structures(path, "the path")
    if len(path) != len(predictions) or not path:
        raise StructureError(f"{len(path)} structures and {len(predictions)} Hamiltonians were given; give one each")
    group = common_group(path) if group is None else group
    operations = representation(group, predictions[0].basis, predictions[0].numbers)
    matrices = [orthonormal_form(p.hamiltonian, p.metric) for p in predictions]
    homo_ev = np.array([p.homo_ev for p in predictions])
    tracks = []
    for irrep, dimension in zip(group.characters.irreps, group.characters.dimensions, strict=True):
        onto = projector(group, irrep, operations)
        levels = [adapted_levels(matrix, onto, dimension) for matrix in matrices]
        for energies in HARTREE_EV * _join(levels):
            tracks.append(Track(irrep, int(dimension), energies, energies <= homo_ev + 1e-6))
    order = np.argsort(tied_ranks([track.energies_ev[0] for track in tracks]), kind="stable")
    return tuple(tracks[k] for k in order)


def _join(levels: Sequence[AdaptedLevels]) -> FloatArray:
    """Return energies [track, structure] of levels joined by overlap."""
    order = np.arange(len(levels[0].energies))
    energies = [levels[0].energies]
    for before, after in pairwise(levels):
        overlap = np.einsum("apc,bqc->apbq", before.vectors[order], after.vectors)
        order = linear_sum_assignment(-(overlap**2).sum(axis=(1, 3)))[1]
        energies.append(after.energies[order])
    return np.array(energies).T


def _deviation(atoms: Atoms, group: PointGroup) -> float:
    """Largest distance of an atom from the image it should be, about the centre of the structure, Å."""
    x = atoms.positions - atoms.positions.mean(axis=0)
    images = [(x @ g.rotation.T, x[np.asarray(g.permutation)]) for g in group.operations]
    return max(float(np.linalg.norm(image - place, axis=1).max()) for image, place in images)
