"""How exactly a model's predictions follow rotations, inversion and permutations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.types import IntArray

if TYPE_CHECKING:
    from ase import Atoms


def equivariance_error(model: HamiltonianModel, structures: Sequence[Atoms], seed: int = 0) -> float:
    """Return the largest |H(R P A) - P T H(A) T^T P^T| over matrix elements, Hartree.

    Every structure is turned by its own random improper rotation R, and like atoms are shuffled by P.

    Args:
        model: a fitted model.
        structures: geometries inside its domain.
        seed: of rotations and permutations.
    """
    rng = np.random.default_rng(seed)
    rotations = [random_rotation(rng, improper=True) for _ in structures]
    orders = [shuffle_like_atoms(atoms.numbers, rng) for atoms in structures]
    moved = [rotate(permute(a, order), r) for a, order, r in zip(structures, orders, rotations, strict=True)]
    worst = 0.0
    plain, turned = model.predict(structures), model.predict(moved)
    for atoms, before, after, order, rotation in zip(structures, plain, turned, orders, rotations, strict=True):
        t = ao_rotation(model.orbitals_, atoms.numbers, rotation)
        index = ao_permutation(model.orbitals_, atoms.numbers, order)
        expected = (t @ before.hamiltonian @ t.T)[np.ix_(index, index)]
        worst = max(worst, float(np.abs(after.hamiltonian - expected).max()))
    return worst


def shuffle_like_atoms(numbers: IntArray, rng: np.random.Generator) -> IntArray:
    """Return a random order of the atoms that leaves the list of elements as it is [atom]."""
    order = np.arange(len(numbers))
    for z in np.unique(numbers):
        members = np.flatnonzero(numbers == z)
        order[members] = rng.permutation(members)
    return order
