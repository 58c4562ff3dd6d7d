"""The Hamiltonians of both spins of an open shell, and what follows from the two together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import BlockCovariance, linear_covariances, linear_variances
from hamlearn.display import Shown, with_error
from hamlearn.equality import ByValue
from hamlearn.observables.crossings import crossing_variance, may_cross
from hamlearn.observables.prediction import Prediction
from hamlearn.qm.molecule import formula
from hamlearn.targets.spins import to_channels, to_spins
from hamlearn.targets.target import Target
from hamlearn.types import BoolArray, FloatArray, IntArray
from hamlearn.units import HARTREE_EV

Covariances: TypeAlias = tuple[BlockCovariance, BlockCovariance]


@dataclass(frozen=True, eq=False, repr=False)
class SpinPrediction(ByValue, Shown):
    """Hamiltonians of spin alpha and beta; whatever is an array of a :class:`Prediction` has an axis of spins first.

    Attributes:
        alpha: the Hamiltonian of spin alpha, with levels and error bars of its own.
        beta: that of spin beta.
        covariances: of the blocks of mean and half difference, from which the error bar of the gap follows.
        stored_gap_std_ev: that error bar, eV, where the covariances are not kept.
        flags: why the molecule lies outside what the model was trained for, as of a Prediction.

    Transforms as each of the two does.
    """

    alpha: Prediction
    beta: Prediction
    covariances: Covariances | None = None
    stored_gap_std_ev: float | None = None
    flags: tuple[str, ...] = ()

    @classmethod
    def of_channels(
        cls,
        numbers: IntArray,
        channels: FloatArray,
        metric: FloatArray | None,
        n_occupied: tuple[int, int],
        basis: Orbitals,
        covariance: BlockCovariance | None = None,
        calibration: tuple[float, float] = (1.0, 1.0),
        widening_ev: tuple[float, float] = (0.0, 0.0),
        flags: tuple[str, ...] = (),
    ) -> SpinPrediction:
        """Return the prediction of mean and half difference [channel, ao, ao], Hartree; the rest as of a Prediction.

        Channels are independent: both spins have the sum of the covariances of mean and half difference.
        """
        known = None if covariance is None else (_of_channel(covariance, 0), _of_channel(covariance, 1))
        own = None if known is None else _sum(*known)
        alpha, beta = (
            Prediction(numbers, matrix, metric, n, basis, own, calibration, None, widening_ev, flags)
            for matrix, n in zip(to_spins(channels), n_occupied, strict=True)
        )
        return cls(alpha, beta, known, flags=flags)

    @property
    def spins(self) -> tuple[Prediction, ...]:
        """Both."""
        return self.alpha, self.beta

    @property
    def numbers(self) -> IntArray:
        """Atomic numbers [atom]."""
        return self.alpha.numbers

    @property
    def basis(self) -> Orbitals:
        """Shells and order."""
        return self.alpha.basis

    @property
    def metric(self) -> FloatArray | None:
        """Overlap of the basis [ao, ao]; None if orthonormal."""
        return self.alpha.metric

    @property
    def hamiltonian(self) -> FloatArray:
        """Both matrices [spin, ao, ao], Hartree."""
        return np.stack([self.alpha.hamiltonian, self.beta.hamiltonian])

    @property
    def channels(self) -> FloatArray:
        """Mean and half difference, as they are learned [channel, ao, ao], Hartree."""
        return to_channels(self.alpha.hamiltonian, self.beta.hamiltonian)

    @property
    def eigenvalues_ev(self) -> FloatArray:
        """Levels [spin, level], eV, ascending for each spin."""
        return np.stack([self.alpha.eigenvalues_ev, self.beta.eigenvalues_ev])

    @property
    def eigenvalues_std_ev(self) -> FloatArray:
        """Standard deviations of the levels [spin, level], eV; nan without error bars."""
        return np.stack([self.alpha.eigenvalues_std_ev, self.beta.eigenvalues_std_ev])

    @property
    def orbitals(self) -> FloatArray:
        """Molecular orbitals [spin, ao, level]."""
        return np.stack([self.alpha.orbitals, self.beta.orbitals])

    @property
    def n_occupied(self) -> tuple[int, int]:
        """Numbers of occupied levels of spin alpha and beta."""
        return self.alpha.n_occupied, self.beta.n_occupied

    @property
    def occupied(self) -> BoolArray:
        """Which levels are occupied [spin, level]."""
        return np.stack([self.alpha.occupied, self.beta.occupied])

    @property
    def ao_labels(self) -> list[str]:
        """Atom, element, shell and m of every orbital, as of a Prediction."""
        return self.alpha.ao_labels

    @property
    def homo_ev(self) -> float:
        """Highest occupied level of either spin, eV; nan if none is occupied."""
        return max(_finite(p.homo_ev for p in self.spins), default=float("nan"))

    @property
    def lumo_ev(self) -> float:
        """Lowest virtual level of either spin, eV; nan if there is none."""
        return min(_finite(p.lumo_ev for p in self.spins), default=float("nan"))

    @property
    def gap_ev(self) -> float:
        """Lowest virtual minus highest occupied level of either spin, eV; nan if one is missing."""
        return self.lumo_ev - self.homo_ev

    @property
    def homo_std_ev(self) -> float:
        """Standard deviation of the highest occupied level, eV; nan without error bars or level."""
        return next((p.homo_std_ev for p in self.spins if p.homo_ev == self.homo_ev), float("nan"))

    @property
    def lumo_std_ev(self) -> float:
        """Standard deviation of the lowest virtual level, eV; nan without error bars or level."""
        return next((p.lumo_std_ev for p in self.spins if p.lumo_ev == self.lumo_ev), float("nan"))

    @property
    def has_error_bars(self) -> bool:
        """Whether levels and gap have error bars."""
        return self.alpha.has_error_bars

    @cached_property
    def gap_std_ev(self) -> float:
        """Standard deviation of the gap, eV; nan without error bars or gap.

        With densities L and H of the two frontier orbitals and their signs s (1 alpha, -1 beta) the mean contributes
        the variance of L - H, and the half difference that of s_L L - s_H H; crossings of levels and what lies outside
        the domain add to it as of a Prediction.
        """
        if self.stored_gap_std_ev is not None:
            return self.stored_gap_std_ev
        if self.covariances is None or not np.isfinite(self.gap_ev):
            return float("nan")
        (lumo, sign_l), (homo, sign_h) = self._orbital(self.lumo_ev, 0), self._orbital(self.homo_ev, -1)
        weights = (lumo - homo, sign_l * lumo - sign_h * homo)
        variance = sum(
            float(linear_variances(v, [a], self.numbers, self.basis)[0])
            for v, a in zip(self.covariances, weights, strict=True)
        )
        factor = self.alpha.calibration[1]
        first = factor * HARTREE_EV * float(np.sqrt(variance))
        return float(np.sqrt(first**2 + self._crossing_variance(factor) + self.alpha.widening_ev[1] ** 2))

    def _crossing_variance(self, factor: float) -> float:
        """Return what crossings of levels of both spins add to the variance of the gap, eV^2."""
        own = [spin.frontier() for spin in self.spins]
        stds = [factor * spin.frontier_stds_ev() for spin in self.spins]
        if self.covariances is None or not may_cross(own, stds):
            return 0.0
        alpha, beta = (frontier.elements() for frontier in own)
        mean, half = self.covariances
        known = linear_covariances(mean, [*alpha, *beta], self.numbers, self.basis)
        known = known + linear_covariances(half, [*alpha, *(-x for x in beta)], self.numbers, self.basis)
        return crossing_variance(own, (factor * HARTREE_EV) ** 2 * known)

    def without_covariance(self) -> SpinPrediction:
        """Return the same with the error bars of levels and gaps, but without the covariances they come from."""
        if self.covariances is None:
            return self
        return replace(
            self,
            alpha=self.alpha.without_covariance(),
            beta=self.beta.without_covariance(),
            covariances=None,
            stored_gap_std_ev=self.gap_std_ev,
        )

    def shown(self) -> dict[str, object]:
        """Return formula, size and frontier levels in eV, with the error bar of the gap and flags if there are any."""
        return {
            "formula": formula(self.numbers),
            "n_orbitals": len(self.alpha.hamiltonian),
            "n_occupied": self.n_occupied,
            "homo_ev": self.homo_ev,
            "lumo_ev": self.lumo_ev,
            "gap_ev": with_error(self.gap_ev, self.gap_std_ev),
            **({"flags": self.flags} if self.flags else {}),
        }

    def _orbital(self, level_ev: float, place: int) -> tuple[FloatArray, int]:
        """Return c c^T of the spin that has this frontier level, and the sign of the spin."""
        spin, sign = (self.alpha, 1) if level_ev in (self.alpha.homo_ev, self.alpha.lumo_ev) else (self.beta, -1)
        column = spin.orbitals[:, spin.n_occupied + place]
        return np.outer(column, column), sign


AnyPrediction: TypeAlias = Prediction | SpinPrediction


def reference_prediction(target: Target) -> AnyPrediction:
    """Return a target as if it were a perfect prediction: the reference of all errors."""
    if isinstance(target.n_occupied, tuple):
        n_occupied = target.n_occupied
        return SpinPrediction.of_channels(target.numbers, target.full, target.metric, n_occupied, target.orbitals)
    return Prediction(target.numbers, target.full, target.metric, target.n_occupied, target.orbitals)


def each_spin(predictions: Sequence[AnyPrediction]) -> list[Prediction]:
    """Return the Hamiltonians of all predictions one after the other, of open shells alpha and beta."""
    return [of_spin for prediction in predictions for of_spin in prediction.spins]


def _finite(levels: Iterable[float]) -> list[float]:
    return [level for level in levels if np.isfinite(level)]


def _of_channel(covariance: BlockCovariance, channel: int) -> BlockCovariance:
    own = {replace(key, channel=0): v for key, v in covariance.values.items() if key.channel == channel}
    return BlockCovariance(covariance.samples, own)


def _sum(mean: BlockCovariance, half_difference: BlockCovariance) -> BlockCovariance:
    values = dict(mean.values)
    for key, v in half_difference.values.items():
        values[key] = values[key] + v if key in values else v
    return BlockCovariance(mean.samples, values)
