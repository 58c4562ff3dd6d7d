"""Minimal bases: the valence shells of every element, within the basis of the calculation or PySCF's minao."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hamlearn.angular.ao_order import Orbitals, Shell, element_numbers
from hamlearn.angular.elements import symbol
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import BasisError
from hamlearn.targets.full_basis import basis_orbitals
from hamlearn.types import FloatArray

Kind = Literal["subset", "minao"]

NOBLE_GASES = (0, 2, 10, 18, 36, 54, 86)
N_P_ELECTRONS = 6


@dataclass(frozen=True, eq=False, repr=False)
class MinimalBasis(ByValue, Shown):
    """A minimal basis on the atoms of one molecule.

    Attributes:
        overlap: of minimal and full basis, <minimal|AO> [minimal, ao].
        metric: overlap within the minimal basis [minimal, minimal].
    """

    overlap: FloatArray
    metric: FloatArray

    @classmethod
    def of_functions(cls, functions: FloatArray, overlap: FloatArray) -> MinimalBasis:
        """Return orthonormal functions as a minimal basis.

        Args:
            functions: combinations of the full basis [ao, minimal].
            overlap: of the full basis [ao, ao].

        Rotation and permutation: as the minimal basis, if the functions transform as T_ao A T^T.
        """
        return cls(functions.T @ overlap, np.eye(functions.shape[1]))


def valence_shells(number: int) -> tuple[Shell, ...]:
    """Return the shells (n, l) of the valence of a main-group element: 1s, or ns and np of its period n.

    Raises:
        BasisError: for d and f elements.
    """
    period, _ = _period_and_valence(number)
    return ((1, 0),) if period == 1 else ((period, 0), (period, 1))


def n_core(number: int) -> int:
    """Return the number of core orbitals of a main-group element: 0 for H, 1 for C, 5 for S, 14 for Br.

    Raises:
        BasisError: for d and f elements.
    """
    _, n_valence_electrons = _period_and_valence(number)
    return (number - n_valence_electrons) // 2


def _period_and_valence(number: int) -> tuple[int, int]:
    """Return the period of an element and the number of its valence electrons."""
    name = symbol(number)  # refuses what is no element
    period = next(p for p, noble in enumerate(NOBLE_GASES) if number <= noble)
    from_left, from_right = number - NOBLE_GASES[period - 1], NOBLE_GASES[period] - number
    if from_left <= 2:
        return period, from_left
    if from_right < N_P_ELECTRONS:
        return period, 8 - from_right
    raise BasisError(
        f"{name} is a d or f element, for which no minimal basis is defined; main-group elements are expected: "
        "choose target kind fock or lowdin"
    )


def minimal_orbitals(kind: Kind, basis: str, species: Iterable[int]) -> Orbitals:
    """Return shells and order of the minimal basis of some elements.

    Args:
        kind: 'subset' for the valence functions of ``basis``, 'minao' for those of PySCF's minao.
        basis: basis set of the calculation.
        species: atomic numbers.

    Raises:
        BasisError: if an element has no minimal basis, or the basis set lacks a valence shell.
    """
    numbers = tuple(sorted({int(number) for number in species}))
    for number in numbers:
        valence_shells(number)  # refuse d elements before their basis is looked up
    full = basis_orbitals("minao" if kind == "minao" else basis, numbers)
    return full.subset({number: _kept_shells(full, number, kind, f"basis '{basis}'") for number in numbers})


def build_minimal_basis(mole: Any, overlap: FloatArray, kind: Kind) -> MinimalBasis:
    """Return the minimal basis of a molecule, as overlaps.

    Args:
        mole: PySCF Mole of the calculation, spherical functions.
        overlap: of its basis [ao, ao].
        kind: 'subset' or 'minao'.

    Returns:
        Overlaps in PySCF's order. Rotation of the molecule: both transform with T, block-diagonal in Wigner matrices.

    Raises:
        BasisError: for Cartesian functions, d elements or a missing valence shell.
    """
    numbers = element_numbers(mole)
    full = Orbitals.from_mole(mole)
    if kind == "subset":
        keep = {z: _kept_shells(full, z, kind, "the basis of the molecule") for z in set(numbers)}
        index = full.subset_index(keep, numbers)
        return MinimalBasis(overlap[index], overlap[np.ix_(index, index)])
    return _minao_basis(mole, numbers)


def _kept_shells(full: Orbitals, number: int, kind: Kind, basis: str) -> tuple[Shell, ...]:
    """Return the valence shells a basis has; all of them must be there, but minao has no empty p shells."""
    wanted = valence_shells(number)
    found = tuple(shell for shell in wanted if shell in full.shells[number])
    if found == wanted or (kind == "minao" and found):
        return found
    lacking = [f"{n}{'sp'[l]}" for n, l in wanted if (n, l) not in found]
    raise BasisError(
        f"{basis} has no {' and no '.join(lacking)} function on {symbol(number)}, which its minimal basis needs: "
        "choose a larger basis, minimal_basis minao, or target kind fock or lowdin"
    )


def _minao_basis(mole: Any, numbers: Sequence[int]) -> MinimalBasis:
    from pyscf import gto

    from hamlearn.qm.molecule import core_potentials, load_basis, silent_mole

    symbols = [symbol(number) for number in numbers]
    shells = {name: load_basis("minao", name) for name in set(symbols)}
    minimal = silent_mole(symbols, mole.atom_coords(), shells, potentials=core_potentials("minao", numbers))
    full = Orbitals.from_mole(minimal)
    index = full.subset_index({z: _kept_shells(full, z, "minao", "minao") for z in set(numbers)}, numbers)
    cross = gto.intor_cross("int1e_ovlp", minimal, mole)
    return MinimalBasis(cross[index], minimal.intor_symmetric("int1e_ovlp")[np.ix_(index, index)])
