"""How exactly a model's predictions follow rotations, inversion and permutations."""

from __future__ import annotations

import numpy as np

from hamlearn.model.base import Model
from hamlearn.structures import Structures, as_structures, permute, random_rotation, rotate
from hamlearn.types import IntArray


def equivariance_error(model: Model, structures: Structures, seed: int = 0) -> float:
    """Return the largest |H(R P A) - P T H(A) T^T P^T|, Hartree, or |y(R P A) - s R y(A)| of properties and forces.

    Every structure is turned by its own random improper rotation R, and like atoms are shuffled by P; s = sigma.

    Args:
        model: a fitted model.
        structures: geometries inside its domain.
        seed: of rotations and permutations.

    Returns:
        The error over matrix elements, Hartree; of properties in units of the spread of the training set (per Å).
    """
    structures, rng = as_structures(structures), np.random.default_rng(seed)
    rotations = [random_rotation(rng, improper=True) for _ in structures]
    orders = [shuffle_like_atoms(atoms.numbers, rng) for atoms in structures]
    moves = list(zip(orders, rotations, strict=True))
    moved = [rotate(permute(atoms, order), r) for atoms, (order, r) in zip(structures, moves, strict=True)]
    return model.symmetry_error(structures, moved, moves)


def shuffle_like_atoms(numbers: IntArray, rng: np.random.Generator) -> IntArray:
    """Return a random order of the atoms that leaves the list of elements as it is [atom]."""
    order = np.arange(len(numbers))
    for z in np.unique(numbers):
        members = np.flatnonzero(numbers == z)
        order[members] = rng.permutation(members)
    return order
