"""How exactly predicted properties follow rotations, inversion and permutations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.model.equivariance import shuffle_like_atoms
from hamlearn.model.property import PropertyModel
from hamlearn.structures import permute, random_rotation, rotate

if TYPE_CHECKING:
    from ase import Atoms


def equivariance_error(model: PropertyModel, structures: Sequence[Atoms], seed: int = 0) -> float:
    """Return the largest |y(R P A) - s R y(A)| over components, and the same of forces if they were learned.

    Every structure is turned by its own random improper rotation R, and like atoms are shuffled by P; s = sigma.

    Args:
        model: a fitted model.
        structures: geometries inside its domain.
        seed: of rotations and permutations.

    Returns:
        The error in units of the spread of the training set, of forces per Å.
    """
    rng = np.random.default_rng(seed)
    rotations = [random_rotation(rng, improper=True) for _ in structures]
    orders = [shuffle_like_atoms(atoms.numbers, rng) for atoms in structures]
    moved = [rotate(permute(a, order), r) for a, order, r in zip(structures, orders, rotations, strict=True)]
    worst = 0.0
    plain, turned = (model.predict(some, forces=model.has_forces) for some in (structures, moved))
    for before, after, order, rotation in zip(plain, turned, orders, rotations, strict=True):
        expected = np.asarray(before.value) * model.target.sigma
        for axis in range(model.target.l):
            expected = np.moveaxis(np.tensordot(rotation, expected, (1, axis)), 0, axis)
        worst = max(worst, float(np.abs(after.value - expected).max()))
        if before.forces is not None and after.forces is not None:
            worst = max(worst, float(np.abs(after.forces - before.forces[order] @ rotation.T).max()))
    return worst / model.scale_
