"""How uncertain a gap is when levels may change places or mix, beyond what first order says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.types import FloatArray, IntArray

WINDOW = 4
"""Levels on either side of the frontier that may take part."""

FAR = 10.0
"""Standard deviations between levels beyond which first order holds: the rest is a hundredth of the variance."""

N_NODES = 9
SMALLEST_SHARE = 1e-9
"""Of the largest variance; directions that carry less are left out."""


@dataclass(frozen=True, eq=False)
class Frontier:
    """The levels next to the frontier of one spin.

    Attributes:
        levels: ascending [level].
        orbitals: of these levels [ao, level].
        n_occupied: how many of them are.
    """

    levels: FloatArray
    orbitals: FloatArray
    n_occupied: int

    @classmethod
    def of(cls, levels: FloatArray, orbitals: FloatArray, n_occupied: int) -> Frontier:
        """Return those of all levels of a molecule."""
        own = cls.window(len(levels), n_occupied)
        return cls(levels[own], orbitals[:, own], n_occupied - own.start)

    @staticmethod
    def window(n_levels: int, n_occupied: int) -> slice:
        """Return which levels they are."""
        return slice(max(0, n_occupied - WINDOW), min(n_levels, n_occupied + WINDOW))

    @property
    def homo(self) -> float:
        """Highest occupied level; minus infinity if there is none."""
        return float(self.levels[self.n_occupied - 1]) if self.n_occupied else -np.inf

    @property
    def lumo(self) -> float:
        """Lowest virtual level; infinity if there is none."""
        return float(self.levels[self.n_occupied]) if self.n_occupied < len(self.levels) else np.inf

    def elements(self) -> list[FloatArray]:
        """Return the densities (c_k c_l^T + c_l c_k^T) / 2 of all k <= l, whose sums with H are V_kl [element]."""
        c = self.orbitals
        return [
            np.outer(c[:, k], c[:, m]) / 2 + np.outer(c[:, m], c[:, k]) / 2 for k, m in zip(*self._upper, strict=True)
        ]

    def matrices(self, elements: FloatArray) -> FloatArray:
        """Return V of its elements [..., element] -> [..., level, level]."""
        n, (first, second) = len(self.levels), self._upper
        out = np.zeros((*elements.shape[:-1], n, n))
        out[..., first, second] = elements
        out[..., second, first] = elements
        return out

    @property
    def _upper(self) -> tuple[IntArray, IntArray]:
        first, second = np.triu_indices(len(self.levels))
        return first.astype(np.int64), second.astype(np.int64)


def may_cross(spins: Sequence[Frontier], stds: Sequence[FloatArray]) -> bool:
    """Return whether some level comes so near the frontier ones that its error and theirs may make it one of them.

    Args:
        spins: of a molecule.
        stds: standard deviations of their levels, in the same unit [level].
    """
    homo, lumo = max(s.homo for s in spins), min(s.lumo for s in spins)
    levels, std = np.concatenate([s.levels for s in spins]), np.concatenate(list(stds))
    nearest = [np.abs(levels - frontier) for frontier in (homo, lumo)]
    own = [std[np.argmin(distance)] for distance in nearest]
    others = [np.delete(np.arange(len(levels)), np.argmin(distance)) for distance in nearest]
    return any(
        bool((distance[rest] < FAR * np.hypot(std[rest], bar)).any())
        for distance, rest, bar in zip(nearest, others, own, strict=True)
    )


def crossing_variance(spins: Sequence[Frontier], covariance: FloatArray) -> float:
    """Return <g^2> - <g_1^2> of the change g of the gap by errors V of the matrix, g_1 = V_LL - V_HH; 0 at least.

    g is that of diag(eps) + V in the space of the levels next to the frontier, sorted and occupied anew: to all orders
    there. Averages over Gaussian errors are sums of one-dimensional Gauss-Hermite quadratures along the principal
    directions of their covariance. It vanishes as the fourth power of errors that are small against spacings, so that
    first order remains.

    Args:
        spins: one, or alpha and beta.
        covariance: of the elements V_kl, k <= l, of all spins one after the other [element, element], in squares of
            the unit of the levels.

    Invariant under rotation and permutation of the molecule, and signs of orbitals.
    """
    gap = min(s.lumo for s in spins) - max(s.homo for s in spins)
    variances, directions = np.linalg.eigh(covariance)
    kept = variances > SMALLEST_SHARE * variances.max(initial=0.0)
    if not kept.any():
        return 0.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(N_NODES)
    steps = (directions[:, kept] * np.sqrt(variances[kept])).T  # [direction, element]
    errors = nodes[:, None, None] * steps
    counts = [len(s.levels) * (len(s.levels) + 1) // 2 for s in spins]
    parts = np.split(errors, np.cumsum(counts)[:-1], axis=-1)
    highest, lowest, first_h, first_l = [], [], [], []
    for spin, part in zip(spins, parts, strict=True):
        v = spin.matrices(part)
        levels = np.linalg.eigvalsh(v + np.diag(spin.levels))
        if spin.n_occupied:
            highest.append(levels[..., spin.n_occupied - 1])
            first_h.append((spin.homo, v[..., spin.n_occupied - 1, spin.n_occupied - 1]))
        if spin.n_occupied < len(spin.levels):
            lowest.append(levels[..., spin.n_occupied])
            first_l.append((spin.lumo, v[..., spin.n_occupied, spin.n_occupied]))
    change = np.min(lowest, axis=0) - np.max(highest, axis=0) - gap
    first = min(first_l, key=lambda known: known[0])[1] - max(first_h, key=lambda known: known[0])[1]
    mean = np.einsum("n,nd->", weights / weights.sum(), change**2 - first**2)
    return max(float(mean), 0.0)
