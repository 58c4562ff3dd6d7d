"""Levels of one irreducible representation at a time: no energy window, no accidental mixing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.types import FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class AdaptedLevels(ByValue, Shown):
    """The levels of a matrix within one irreducible representation.

    Attributes:
        energies: mean of each multiplet [multiplet], ascending, in the unit of the matrix.
        spread: largest minus smallest level of each multiplet [multiplet]: rounding, if the matrix is symmetric.
        vectors: orthonormal [multiplet, partner, component].
    """

    energies: FloatArray
    spread: FloatArray
    vectors: FloatArray


def adapted_levels(matrix: FloatArray, projector: FloatArray, dimension: int) -> AdaptedLevels:
    """Diagonalise a symmetric matrix in the range of the projector on an irreducible representation.

    Args:
        matrix: commutes with the group [component, component], in an orthonormal basis.
        projector: on the irreducible representation [component, component], symmetric.
        dimension: of the irreducible representation.

    By Schur's lemma the levels come in multiplets of ``dimension``; rotation of the molecule leaves them as they are.
    """
    weights, basis = np.linalg.eigh(0.5 * (projector + projector.T))
    basis = basis[:, weights > 0.5]
    values, vectors = np.linalg.eigh(basis.T @ matrix @ basis)
    groups = values.reshape(-1, dimension)
    return AdaptedLevels(
        groups.mean(axis=1), np.ptp(groups, axis=1), (basis @ vectors).T.reshape(*groups.shape, len(matrix))
    )


def orthonormal_form(hamiltonian: FloatArray, metric: FloatArray | None) -> FloatArray:
    """Return S^-1/2 H S^-1/2, on which the operations of the molecule act as on H; H itself without a metric."""
    if metric is None:
        return hamiltonian
    values, vectors = eigh(metric)
    inverse_root = vectors / np.sqrt(values) @ vectors.T
    return np.asarray(inverse_root @ hamiltonian @ inverse_root)
