"""How rotations and permutations of a molecule act on its atomic orbitals (PySCF's order)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.types import FloatArray, IntArray


def ao_rotation(orbitals: Orbitals, numbers: Sequence[int] | IntArray, rotation: ArrayLike) -> FloatArray:
    """Return T [ao, ao] with F(R A) = T F(A) T^T, block-diagonal in D^l(R) of every shell.

    Args:
        orbitals: shells and order.
        numbers: atomic numbers [atom].
        rotation: R in O(3) [3, 3], positions x' = R x.
    """
    shells = [shell for z in numbers for shell in orbitals.shells[int(z)]]
    d = real_wigner_d(rotation, max((l for _, l in shells), default=0))
    canonical = np.zeros((sum(2 * l + 1 for _, l in shells),) * 2)
    start = 0
    for _, l in shells:
        canonical[start : start + 2 * l + 1, start : start + 2 * l + 1] = d[l]
        start += 2 * l + 1
    out = np.zeros_like(canonical)
    index = orbitals.to_pyscf(numbers)
    out[np.ix_(index, index)] = canonical
    return out


def ao_permutation(orbitals: Orbitals, numbers: Sequence[int] | IntArray, order: Sequence[int] | IntArray) -> IntArray:
    """Return the index with F(atoms[order]) = F(atoms)[index][:, index] [ao].

    Args:
        orbitals: shells and order.
        numbers: atomic numbers before the permutation [atom].
        order: the new list of atoms, as positions in the old one [atom].
    """
    sizes = np.array([len(orbitals.ao_index[int(z)]) for z in numbers])
    start = np.cumsum(sizes) - sizes
    return np.concatenate([np.arange(start[i], start[i] + sizes[i]) for i in order])
