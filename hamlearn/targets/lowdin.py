"""Symmetric roots of an overlap matrix and the Löwdin form of a Fock matrix."""

from __future__ import annotations

import numpy as np

from hamlearn.errors import BasisError
from hamlearn.qm.guess import symmetrised
from hamlearn.types import FloatArray

SMALLEST_EIGENVALUE = 1e-8


def inverse_root(overlap: FloatArray) -> FloatArray:
    """Return the symmetric S^(-1/2).

    Args:
        overlap: S [ao, ao], positive definite.

    Raises:
        BasisError: if S has an eigenvalue below 1e-8: the basis is linearly dependent.

    Equivariant: (T S T^T)^(-1/2) = T S^(-1/2) T^T for orthogonal T. (Roots by Cholesky or canonical
    orthogonalisation are not.)
    """
    return _power(overlap, -0.5)


def root(overlap: FloatArray) -> FloatArray:
    """Return the symmetric S^(1/2); as :func:`inverse_root`."""
    return _power(overlap, 0.5)


def lowdin_orthogonalise(fock: FloatArray, overlap: FloatArray) -> FloatArray:
    """Return S^(-1/2) F S^(-1/2).

    Args:
        fock: F [ao, ao], Hartree, symmetric.
        overlap: S [ao, ao], positive definite.

    Returns:
        [ao, ao], Hartree, with the eigenvalues of F U = S U eps. Rotation and permutation of the molecule: T A T^T.

    Raises:
        BasisError: if S has an eigenvalue below 1e-8.

    Source: P.-O. Löwdin, J. Chem. Phys. 18, 365 (1950).
    """
    half = inverse_root(overlap)
    return symmetrised(half @ fock @ half)


def _power(overlap: FloatArray, exponent: float) -> FloatArray:
    eigenvalues, vectors = np.linalg.eigh(overlap)
    if eigenvalues[0] < SMALLEST_EIGENVALUE:
        raise BasisError(
            f"the overlap matrix has an eigenvalue of {eigenvalues[0]:.1e}, at least {SMALLEST_EIGENVALUE:g} is "
            "expected: the basis is linearly dependent on this geometry; choose one with fewer diffuse functions"
        )
    return (vectors * eigenvalues**exponent) @ vectors.T
