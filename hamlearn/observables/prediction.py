"""What follows from a Hamiltonian, predicted or computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, eigh

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import BlockCovariance, element_variances, linear_covariances, linear_variances
from hamlearn.display import Shown, with_error
from hamlearn.equality import ByValue
from hamlearn.errors import DomainError
from hamlearn.observables.crossings import Frontier, crossing_variance, may_cross
from hamlearn.qm.molecule import formula
from hamlearn.types import BoolArray, FloatArray, IntArray
from hamlearn.units import HARTREE_EV


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(ByValue, Shown):
    """A Hamiltonian and everything that follows from it, each computed when asked for.

    Attributes:
        numbers: atomic numbers [atom].
        hamiltonian: the full matrix [ao, ao], Hartree, symmetric, PySCF's order of the target's orbitals.
        metric: overlap of the basis [ao, ao]; None if orthonormal.
        n_occupied: number of doubly occupied levels.
        basis: shells and order, of at least the elements of the molecule.
        covariance: of the irreducible blocks of the matrix; None without error bars, or if it is not kept.
        calibration: factors of the standard deviations of levels and of the gap, found on structures that were left
            out of training.
        stds_ev: standard deviations of levels [level] and gap, eV, where the covariance is not kept.
        widening_ev: what error bars of levels and gap grow by outside what the model was trained for, eV, as the root
            of the sum of squares.
        flags: why the molecule lies outside what the model was trained for, in words; empty if it does not, or if
            that is not known.

    Rotation or permutation of the molecule turns ``hamiltonian`` and ``metric`` into T A T^T and ``orbitals``
    into T C, up to signs and rotations among degenerate levels; levels and their standard deviations are invariant.
    """

    numbers: IntArray
    hamiltonian: FloatArray
    metric: FloatArray | None
    n_occupied: int
    basis: Orbitals
    covariance: BlockCovariance | None = None
    calibration: tuple[float, float] = (1.0, 1.0)
    stds_ev: tuple[FloatArray, float] | None = None
    widening_ev: tuple[float, float] = (0.0, 0.0)
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n_ao = self.basis.n_ao(self.numbers)
        for name in ("hamiltonian", "metric"):
            matrix = getattr(self, name)
            if matrix is not None and np.shape(matrix) != (n_ao, n_ao):
                raise ValueError(f"{name} has shape {np.shape(matrix)}; the molecule has {n_ao} orbitals")
        if not 0 <= self.n_occupied <= n_ao:
            raise ValueError(f"n_occupied is {self.n_occupied}; expected 0 to {n_ao}, the number of orbitals")

    def shown(self) -> dict[str, object]:
        """Return formula, size and frontier levels in eV, with error bars and flags if there are any."""
        size = {"formula": formula(self.numbers), "n_orbitals": len(self.hamiltonian), "n_occupied": self.n_occupied}
        try:
            levels = {
                "homo_ev": with_error(self.homo_ev, self.homo_std_ev),
                "lumo_ev": with_error(self.lumo_ev, self.lumo_std_ev),
                "gap_ev": with_error(self.gap_ev, self.gap_std_ev),
            }
        except DomainError:
            return {**size, "levels": None}
        return {**size, **levels, **({"flags": self.flags} if self.flags else {})}

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
    def spins(self) -> tuple[Prediction, ...]:
        """The Hamiltonians of the molecule: this one, of both spins."""
        return (self,)

    @property
    def channels(self) -> FloatArray:
        """The matrix as it is learned [ao, ao], Hartree."""
        return self.hamiltonian

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
    def homo_std_ev(self) -> float:
        """Standard deviation of the highest occupied level, eV; nan without error bars or level."""
        return self._level_std_ev(self.n_occupied - 1)

    @property
    def lumo_std_ev(self) -> float:
        """Standard deviation of the lowest virtual level, eV; nan without error bars or level."""
        return self._level_std_ev(self.n_occupied)

    @property
    def has_error_bars(self) -> bool:
        """Whether levels and gap have error bars."""
        return self.covariance is not None or self.stds_ev is not None

    def without_covariance(self) -> Prediction:
        """Return the same with the error bars of levels and gap, but without the covariance they come from."""
        if self.covariance is None:
            return self
        return replace(self, covariance=None, stds_ev=(self.eigenvalues_std_ev, self.gap_std_ev))

    @cached_property
    def eigenvalues_std_ev(self) -> FloatArray:
        """Standard deviations of the levels to first order [level], eV; nan without error bars.

        Var eps_k = (c_k x c_k)^T Sigma (c_k x c_k), Sigma the covariance of the matrix elements; among degenerate
        levels it belongs to the orbitals as they are.
        """
        if self.stds_ev is not None:
            return self.stds_ev[0]
        return np.hypot(self.calibration[0] * self.bare_stds_ev, self.widening_ev[0])

    @cached_property
    def bare_stds_ev(self) -> FloatArray:
        """Standard deviations of the levels as their covariance has them [level], eV, not calibrated."""
        return self._std_ev([np.outer(column, column) for column in self.orbitals.T])

    @cached_property
    def gap_std_ev(self) -> float:
        """Standard deviation of the gap, eV; nan without error bars or gap.

        To first order it is that of the sum of H with c_L x c_L - c_H x c_H: errors of HOMO and LUMO are correlated.
        Where error bars of levels exceed a tenth of their distance from the frontier, what reordering and mixing add is
        added, see :func:`hamlearn.observables.crossings.crossing_variance`.
        """
        if self.stds_ev is not None:
            return self.stds_ev[1]
        if not 0 < self.n_occupied < len(self.hamiltonian):
            return float("nan")
        homo, lumo = self.orbitals[:, self.n_occupied - 1], self.orbitals[:, self.n_occupied]
        factor = self.calibration[1]
        first = factor * float(self._std_ev([np.outer(lumo, lumo) - np.outer(homo, homo)])[0])
        return float(np.sqrt(first**2 + self._crossing_variance(factor) + self.widening_ev[1] ** 2))

    def frontier(self) -> Frontier:
        """Return the levels next to the frontier, eV."""
        return Frontier.of(self.eigenvalues_ev, self.orbitals, self.n_occupied)

    def frontier_stds_ev(self) -> FloatArray:
        """Return their standard deviations as the covariance has them [level], eV."""
        return self.bare_stds_ev[Frontier.window(len(self.hamiltonian), self.n_occupied)]

    def _crossing_variance(self, factor: float) -> float:
        """Return what crossings of levels add to the variance of the gap, eV^2, with error bars times a factor."""
        own = [self.frontier()]
        if self.covariance is None or not may_cross(own, [factor * self.frontier_stds_ev()]):
            return 0.0
        known = linear_covariances(self.covariance, own[0].elements(), self.numbers, self.basis)
        return crossing_variance(own, (factor * HARTREE_EV) ** 2 * known)

    @property
    def hamiltonian_std(self) -> FloatArray:
        """Uncalibrated standard deviation of elements in this frame [ao, ao], Hartree; nan without covariance."""
        if self.covariance is None:
            return np.full_like(self.hamiltonian, np.nan)
        return np.sqrt(element_variances(self.covariance, self.numbers, self.basis))

    def _level_std_ev(self, index: int) -> float:
        """Return the standard deviation of one level, eV; nan without error bars or level."""
        if not 0 <= index < len(self.hamiltonian):
            return float("nan")
        if self.stds_ev is not None:
            return float(self.stds_ev[0][index])
        c = self.orbitals[:, index]
        return float(np.hypot(self.calibration[0] * self._std_ev([np.outer(c, c)])[0], self.widening_ev[0]))

    def _std_ev(self, weights: list[FloatArray]) -> FloatArray:
        """Return the standard deviation of sum_pq A_pq H_pq for some A [A], eV."""
        if self.covariance is None:
            return np.full(len(weights), np.nan)
        return HARTREE_EV * np.sqrt(linear_variances(self.covariance, weights, self.numbers, self.basis))

    @property
    def occupied(self) -> BoolArray:
        """Which levels are occupied [level]."""
        return np.arange(len(self.hamiltonian)) < self.n_occupied

    @property
    def ao_labels(self) -> list[str]:
        """Atom, element, shell and m of every orbital, such as '0 O 2p-1', in the order of the matrix."""
        return self.basis.labels(self.numbers.tolist())

    def _level_ev(self, index: int) -> float:
        return float(self.eigenvalues_ev[index]) if 0 <= index < len(self.hamiltonian) else float("nan")
