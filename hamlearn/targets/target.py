"""The matrix to learn of one molecule, with what is needed to read it."""

from __future__ import annotations

from dataclasses import dataclass

from hamlearn.angular.ao_order import Orbitals
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.qm.molecule import formula
from hamlearn.targets.origin import Origin
from hamlearn.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False, repr=False)
class Diagnostics(ByValue, Shown):
    """How well a projection on a minimal basis went.

    Where a delta SAPH follows its guess, singular values and projections are those of the guess, whose orbitals are
    projected on the minimal basis; gap and flags are those of the converged levels, and flags of the guess come after.

    Attributes:
        singular_values: of the overlap of minimal basis and orbitals kept, descending.
        projections: in order of energy. Lowest virtual levels: norm of what the minimal basis still held of an
            orbital when it was kept. Valence virtuals: norm of the orbital's projection on the minimal basis. Of
            degenerate orbitals the smallest norm of any combination.
        rejected_gap: distance of the highest level kept to the next one, Hartree (inf if none, or valence virtuals).
        flags: what is worth knowing, in words; empty if all is well.

    All are invariant under rotation, inversion and permutation of the molecule.
    """

    singular_values: FloatArray
    projections: FloatArray
    rejected_gap: float
    flags: tuple[str, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Target(ByValue, Shown):
    """A matrix to learn, Hartree, PySCF's order of the target's orbitals.

    Attributes:
        numbers: atomic numbers [atom].
        matrix: what is learned [ao, ao]: the full matrix minus the baseline.
        metric: overlap of the basis [ao, ao]; None if orthonormal.
        orbitals: shells and order.
        n_occupied: number of doubly occupied levels of the full matrix.
        baseline: the same target of the guess [ao, ao]; None without delta learning.
        diagnostics: of the projection; None if nothing was projected.
        origin: what it was made of; None if that is not known, as from files of older versions.
    """

    numbers: IntArray
    matrix: FloatArray
    metric: FloatArray | None
    orbitals: Orbitals
    n_occupied: int
    baseline: FloatArray | None = None
    diagnostics: Diagnostics | None = None
    origin: Origin | None = None

    def shown(self) -> dict[str, object]:
        """Return the formula in place of atomic numbers, and what there is."""
        fields = {name: value for name, value in super().shown().items() if value is not None}
        return {"formula": formula(self.numbers), **{k: x for k, x in fields.items() if k not in ("numbers", "origin")}}

    @property
    def full(self) -> FloatArray:
        """The matrix with its baseline added back, Hartree."""
        return self.matrix if self.baseline is None else self.matrix + self.baseline
