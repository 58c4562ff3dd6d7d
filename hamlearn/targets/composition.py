"""What is subtracted from a property before it is learned, and added back to every prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from hamlearn.config import PropertyTarget
from hamlearn.types import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

Kind = Literal["composition", "mean", "none"]


def baseline_kind(target: PropertyTarget) -> Kind:
    """Return the baseline of a target: its own, or composition for invariants and none for all others."""
    return target.baseline or ("composition" if target.l == 0 and target.sigma == 1 else "none")


@dataclass
class Baseline:
    """y_0(A) = sum_z n_z(A) e_z (composition), a constant (mean), or 0 (none), by least squares.

    Where the numbers of atoms of the training set leave e_z open, it is the shortest solution.

    Attributes:
        coefficients_: e_z by element; the mean under the key 0.

    Invariant under O(3), translations and permutations; it exerts no forces.
    """

    kind: Kind
    coefficients_: dict[int, float] = field(default_factory=dict)

    def fit(self, structures: Sequence[Atoms], values: FloatArray, functional: FloatArray | None = None) -> Baseline:
        """Fit to scalar properties [structure], or to sums of them [datum] with weights [datum, structure]."""
        if self.kind == "none":
            return self
        species = sorted({int(z) for atoms in structures for z in atoms.numbers}) if self.kind == "composition" else [0]
        known = _counts(structures, species) if self.kind == "composition" else np.ones((len(structures), 1))
        known = known if functional is None else functional @ known
        solution = np.linalg.lstsq(known, values, rcond=None)[0]
        self.coefficients_ = dict(zip(species, solution.tolist(), strict=True))
        return self

    def values(self, structures: Sequence[Atoms]) -> FloatArray:
        """Return y_0 of every structure [structure]."""
        if self.kind == "composition":
            return _counts(structures, list(self.coefficients_)) @ np.array(list(self.coefficients_.values()))
        return np.full(len(structures), self.coefficients_.get(0, 0.0))


def _counts(structures: Sequence[Atoms], species: list[int]) -> FloatArray:
    """Return how many atoms of each element each structure has [structure, species]."""
    return np.array([[np.count_nonzero(atoms.numbers == z) for z in species] for atoms in structures], dtype=np.float64)
