"""One converged calculation, in memory and on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class QMRecord:
    """Fock and overlap matrices of one molecule, Hartree and Bohr, PySCF's orbital order.

    Attributes:
        numbers: atomic numbers [atom].
        positions: [atom, 3], Bohr.
        fock: [ao, ao], Hartree.
        overlap: [ao, ao].
        guess_focks: Fock matrix of each guess ('minao', 'atom', 'core') that was asked for [ao, ao], Hartree.
        orbital_energies: from eigh(fock, overlap) [ao], Hartree, ascending.
        occupations: [ao], 2 or 0.
        energy: total energy, Hartree.
        dipole: [3], e Bohr, about the origin of the positions.
        provenance: method, functional, basis and its hash, thresholds, cycles, versions.

    Under a rotation of the molecule fock, overlap and guess_focks transform as T A T^T, T block-diagonal in
    Wigner matrices; energies are invariant, the dipole is a vector.
    """

    numbers: NDArray[np.int64]
    positions: FloatArray
    fock: FloatArray
    overlap: FloatArray
    guess_focks: Mapping[str, FloatArray]
    orbital_energies: FloatArray
    occupations: FloatArray
    energy: float
    dipole: FloatArray
    provenance: Mapping[str, Any]
