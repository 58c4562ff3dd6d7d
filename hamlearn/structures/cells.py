"""Molecules in a periodic box, which programs of solids give to molecules as well."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

CLOSEST_IMAGE_ANGSTROM = 2.0
"""What is closer across the boundary of a box is bonded there: a solid, or a molecule cut by the boundary."""


def freed_of_cell(atoms: Atoms) -> bool:
    """Take the periodic box from a molecule that touches no image of itself; return whether there was one.

    What is closer to an image than 2 Å stays periodic, for :func:`~hamlearn.structures.check_structures` to refuse.
    """
    if not atoms.pbc.any():
        return False
    bounded = atoms.pbc & atoms.cell.any(axis=1)
    if bounded.any() and np.isfinite(atoms.positions).all() and len(atoms):
        box = atoms.copy()
        box.pbc = bounded
        if box.cell.rank < 3 or abs(box.cell.volume) < 1e-6:
            box.cell = box.cell.complete()
        shifts = neighbor_list("S", box, CLOSEST_IMAGE_ANGSTROM)
        if shifts.any():
            return False
    atoms.pbc = False
    atoms.cell = None
    return True
