"""The matrix to learn of one molecule, with what is needed to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.angular.ao_order import Orbitals
from hamlearn.config import MatrixTarget, QMSettings, SaphTarget
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ConfigError
from hamlearn.qm.molecule import formula
from hamlearn.targets.origin import Origin
from hamlearn.targets.spins import Occupied
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

Side = tuple[FloatArray | None, FloatArray | None]
"""Metric and baseline of a molecule, None where the target has none."""


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

    Of open shells they are those of both spins together. All are invariant under rotation, inversion and permutation.
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
        matrix: what is learned [ao, ao]: the full matrix minus the baseline. Of open shells [channel, ao, ao], mean
            and half difference of the spins (:mod:`hamlearn.targets.spins`); so is the baseline.
        metric: overlap of the basis [ao, ao]; None if orthonormal.
        orbitals: shells and order.
        n_occupied: number of doubly occupied levels of the full matrix, or of occupied ones of spin alpha and beta.
        baseline: the same target of the guess [ao, ao]; None without delta learning.
        diagnostics: of the projection; None if nothing was projected.
        origin: what it was made of; None if that is not known, as from files of older versions.
    """

    numbers: IntArray
    matrix: FloatArray
    metric: FloatArray | None
    orbitals: Orbitals
    n_occupied: Occupied
    baseline: FloatArray | None = None
    diagnostics: Diagnostics | None = None
    origin: Origin | None = None

    def shown(self) -> dict[str, object]:
        """Return the formula in place of atomic numbers, and what there is."""
        fields = {name: value for name, value in super().shown().items() if value is not None}
        return {"formula": formula(self.numbers), **{k: x for k, x in fields.items() if k not in ("numbers", "origin")}}

    @property
    def side(self) -> Side:
        """Metric and baseline, what is known of a molecule beside the matrix that is learned."""
        return self.metric, self.baseline

    @property
    def full(self) -> FloatArray:
        """The matrix with its baseline added back, Hartree."""
        return self.matrix if self.baseline is None else self.matrix + self.baseline


def check_targets(
    targets: Sequence[Target], structures: Sequence[Atoms], settings: MatrixTarget, qm: QMSettings
) -> None:
    """Refuse targets that do not belong to structures, or are known to be made by other settings than those given.

    Raises:
        ConfigError: naming the first such target.
    """
    if len(structures) != len(targets):
        raise ConfigError(f"fit got {len(structures)} structures and {len(targets)} targets; give one target each")
    expected = (settings.has_metric, settings.delta != "none")
    for index, (atoms, target) in enumerate(zip(structures, targets, strict=True)):
        if not isinstance(target, Target):
            raise ConfigError(
                f"target {index} is a {type(target).__name__}; expected what hamlearn.build_target makes of a record"
            )
        if not np.array_equal(atoms.numbers, target.numbers):
            raise ConfigError(
                f"target {index} is of atoms {target.numbers.tolist()}, structure {index} of {atoms.numbers.tolist()}; "
                "give both in the same order"
            )
        if (target.metric is not None, target.baseline is not None) != expected:
            form = f", form {settings.form}" if isinstance(settings, SaphTarget) else ""
            raise ConfigError(
                f"target {index} was not built with the settings of the model (kind {settings.kind}, "
                f"delta {settings.delta}{form}); build it with model.target"
            )
        if target.origin is not None:
            target.origin.check(index, atoms.positions, settings, qm)
