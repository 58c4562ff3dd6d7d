"""Symmetry-adapted projected Hamiltonian (SAPH): some exact levels of a molecule in a minimal basis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import BasisError
from hamlearn.targets.lowdin import inverse_root, root, symmetrised
from hamlearn.targets.minimal_basis import MinimalBasis
from hamlearn.targets.target import Diagnostics
from hamlearn.targets.virtual_levels import lowest_levels, valence_levels
from hamlearn.types import FloatArray

SMALLEST_RATIO = 1e-6
"""Of smallest to largest singular value of <minimal|orbital>; below, the symmetry of the two does not match."""


@dataclass(frozen=True, eq=False, repr=False)
class ProjectedHamiltonian(ByValue, Shown):
    """Some exact levels of a molecule as a matrix in an orthonormal basis of minimal size.

    Attributes:
        matrix: H [minimal, minimal], Hartree, symmetric. Rotation and permutation: T A T^T with T of the minimal basis.
        functions: the orthonormal functions H is expressed in, as combinations of the full basis [ao, minimal]: they
            span the orbitals kept and look like the minimal basis. Rotation and permutation: T_ao A T^T.
        diagnostics: how well the projection went.
    """

    matrix: FloatArray
    functions: FloatArray
    diagnostics: Diagnostics


def project_saph(
    fock: FloatArray,
    overlap: FloatArray,
    minimal: MinimalBasis,
    *,
    n_core: int,
    n_occupied: int,
    virtuals: str = "lowest",
) -> ProjectedHamiltonian:
    """Return W diag(eps) W^T, W the polar factor of V = <minimal|orbital>.

    Args:
        fock: F [ao, ao], Hartree.
        overlap: S [ao, ao].
        minimal: the minimal basis, by its overlaps.
        n_core: number of core orbitals of the molecule; the lowest levels, left out.
        n_occupied: number of occupied valence levels, all of which are kept.
        virtuals: 'lowest' for the lowest virtual levels that project on the minimal basis, exact ones; 'valence'
            for the levels of the virtual space closest to it, smooth but not levels of the molecule.

    Returns:
        The matrix whose eigenvalues are the levels kept, the functions it is expressed in, and how well the projection
        went. Signs of orbitals and rotations within degenerate levels change nothing.

    Raises:
        BasisError: if the minimal basis has no room for the occupied levels, or the levels do not span it.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eq. 37.
    """
    n_minimal, n_levels = len(minimal.metric), len(fock) - n_core
    if not 0 <= n_occupied <= n_minimal <= n_levels:
        raise BasisError(
            f"a minimal basis of {n_minimal} functions was to hold {n_occupied} occupied valence levels out of "
            f"{n_levels} levels; expected occupied <= functions <= levels: choose a larger basis or minimal basis"
        )
    energies, orbitals = (part[..., n_core:] for part in eigh(fock, overlap))
    projected = minimal.overlap @ orbitals  # V of all levels [minimal, level]
    cosines = inverse_root(minimal.metric) @ projected
    choose = lowest_levels if virtuals == "lowest" else valence_levels
    kept = choose(energies, cosines, n_occupied)
    left, singular, right = np.linalg.svd(projected @ kept.mixing)
    if singular[-1] < SMALLEST_RATIO * singular[0]:
        raise BasisError(
            "the levels kept do not span the minimal basis (smallest singular value "
            f"{singular[-1]:.1e}); choose minimal_basis minao, another guess for delta, or target kind lowdin"
        )
    polar = left @ right
    return ProjectedHamiltonian(
        matrix=symmetrised((polar * kept.energies) @ polar.T),
        functions=orbitals @ kept.mixing @ polar.T,
        diagnostics=Diagnostics(singular, kept.projections, kept.rejected_gap, kept.flags),
    )


def to_nonorthogonal(matrix: FloatArray, metric: FloatArray) -> FloatArray:
    """Return S^(1/2) H S^(1/2), whose generalised eigenvalues with metric S are those of H.

    Args:
        matrix: H in an orthonormal basis [minimal, minimal], Hartree.
        metric: S, overlap of the minimal basis [minimal, minimal].

    Rotation and permutation of the molecule: T A T^T.
    """
    half = root(metric)
    return symmetrised(half @ matrix @ half)
