"""Shells of a basis set by element, without any molecule."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.elements import symbol

FAR_APART_BOHR = 100.0


def basis_orbitals(basis: str, species: Iterable[int]) -> Orbitals:
    """Return shells and order of a basis set.

    Args:
        basis: name of a basis set PySCF has.
        species: atomic numbers.

    Raises:
        BasisError: if the basis is unknown or lacks an element.
    """
    return _basis_orbitals(basis, tuple(sorted({int(number) for number in species})))


@lru_cache(maxsize=256)
def _basis_orbitals(basis: str, species: tuple[int, ...]) -> Orbitals:
    from hamlearn.qm.molecule import core_potentials, load_basis, silent_mole

    symbols = [symbol(number) for number in species]
    positions = FAR_APART_BOHR * np.arange(len(species))[:, None] * np.array([[0.0, 0.0, 1.0]])
    shells = {name: load_basis(basis, name) for name in symbols}
    return Orbitals.from_mole(silent_mole(symbols, positions, shells, potentials=core_potentials(basis, species)))
