"""What follows from a Hamiltonian, predicted or computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh

from hamlearn.angular.ao_order import Orbitals
from hamlearn.errors import DomainError
from hamlearn.targets.target import Target
from hamlearn.units import HARTREE_EV

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """A Hamiltonian and everything that follows from it, each computed when asked for.

    Attributes:
        numbers: atomic numbers [atom].
        hamiltonian: the full matrix [ao, ao], Hartree, symmetric, PySCF's order of the target's orbitals.
        metric: overlap of the basis [ao, ao]; None if orthonormal.
        n_occupied: number of doubly occupied levels.
        basis: shells and order, of at least the elements of the molecule.

    Rotation or permutation of the molecule turns ``hamiltonian`` and ``metric`` into T A T^T and ``orbitals``
    into T C, up to signs and rotations among degenerate levels; levels are invariant.
    """

    numbers: NDArray[np.int64]
    hamiltonian: FloatArray
    metric: FloatArray | None
    n_occupied: int
    basis: Orbitals

    def __post_init__(self) -> None:
        n_ao = self.basis.n_ao(self.numbers)
        for name in ("hamiltonian", "metric"):
            matrix = getattr(self, name)
            if matrix is not None and np.shape(matrix) != (n_ao, n_ao):
                raise ValueError(f"{name} has shape {np.shape(matrix)}; the molecule has {n_ao} orbitals")
        if not 0 <= self.n_occupied <= n_ao:
            raise ValueError(f"n_occupied is {self.n_occupied}; expected 0 to {n_ao}, the number of orbitals")

    @cached_property
    def _solution(self) -> tuple[FloatArray, FloatArray]:
        try:
            return eigh(self.hamiltonian, self.metric)
        except (LinAlgError, ValueError) as error:
            raise DomainError(
                f"the Hamiltonian of a molecule of {len(self.numbers)} atoms has no levels ({error}); it must be "
                "finite and the basis linearly independent: look for distorted geometries"
            ) from None

    @property
    def eigenvalues_ev(self) -> FloatArray:
        """Levels of H C = S C eps [level], eV, ascending."""
        return self._levels_ev

    @cached_property
    def _levels_ev(self) -> FloatArray:
        return HARTREE_EV * self._solution[0]

    @property
    def orbitals(self) -> FloatArray:
        """Molecular orbitals C [ao, level], columns in order of energy, C^T S C = 1; their signs are arbitrary."""
        return self._solution[1]

    @property
    def homo_ev(self) -> float:
        """Highest occupied level, eV; nan if none is occupied."""
        return self._level_ev(self.n_occupied - 1)

    @property
    def lumo_ev(self) -> float:
        """Lowest virtual level, eV; nan if there is none, as for a noble-gas atom in a minimal basis."""
        return self._level_ev(self.n_occupied)

    @property
    def gap_ev(self) -> float:
        """HOMO-LUMO gap, eV; nan if either level is missing."""
        return self.lumo_ev - self.homo_ev

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """Which levels are occupied [level]."""
        return np.arange(len(self.hamiltonian)) < self.n_occupied

    @property
    def ao_labels(self) -> list[str]:
        """Atom, element, shell and m of every orbital, such as '0 O 2p-1', in the order of the matrix."""
        return self.basis.labels(self.numbers.tolist())

    def _level_ev(self, index: int) -> float:
        return float(self.eigenvalues_ev[index]) if 0 <= index < len(self.hamiltonian) else float("nan")


def reference_prediction(target: Target) -> Prediction:
    """Return a target as if it were a perfect prediction: the reference of all errors."""
    return Prediction(target.numbers, target.full, target.metric, target.n_occupied, target.orbitals)
