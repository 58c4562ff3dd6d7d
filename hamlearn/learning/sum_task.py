"""What a fit of sums over structures learns: values and gradients, in which folds, and how many decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.config import KernelRidgeSettings
from hamlearn.learning.data import Data
from hamlearn.learning.groups import Group
from hamlearn.regression.folds import fold_indices, rows_of
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

MOST_VALUES, MOST_DERIVATIVES = 800, 450
"""Data (of the first structures) that decide on the mixture where the basis is not the values themselves: kernels of
more would cost more than the fit and change little. A sparse basis leaves the decision to values, which are cheap."""


@dataclass(frozen=True)
class SumTask:
    """Values and gradients of some structures, in units of the spread of the values.

    Attributes:
        structures: bare geometries.
        data: sums over structures, with gradients if they are learned.
        group: the one group of the data.
        settings: folds, memory and active set.
    """

    structures: Sequence[Atoms]
    data: Data
    group: Group
    settings: KernelRidgeSettings

    @property
    def values(self) -> FloatArray:
        """All values, structure by structure [structure x m]."""
        return self.data.values[self.group][:, 0]

    def without_gradients(self) -> SumTask:
        """Return the values alone, all of tolerance 1."""
        return replace(self, data=replace(self.data, gradients=None, variances=(1.0, 1.0)))

    @property
    def n_data(self) -> int:
        """Number of structures, or of sums of structures that are known."""
        return self.data.n_structures

    def first(self, n: int) -> SumTask:
        """Return the first n structures; all where sums of structures are known."""
        if self.data.functional is not None:
            return self
        n = min(n, len(self.structures))
        gradients = self.data.gradients
        if gradients is not None:
            gradients = gradients[: sum(map(len, self.structures[:n]))]
        data = replace(self.data.part(np.arange(n)), gradients=gradients, variances=self.data.variances)
        return replace(self, structures=self.structures[:n], data=data)

    def first_to_decide(self) -> SumTask:
        """Return as many of the first structures as decide on the mixture; at least two."""
        if self.data.gradients is None:
            return self.first(MOST_VALUES)
        rows = np.cumsum([1 + 3 * len(atoms) for atoms in self.structures])
        return self.first(max(2, int(np.searchsorted(rows, MOST_DERIVATIVES, side="right"))))

    def rows(self) -> tuple[FloatArray, FloatArray, list[IntArray]]:
        """Return all data, values before gradients: [row], variances [row], and the rows of every fold."""
        owner, y = self.data.owner[self.group], self.values
        variance = np.full(len(y), self.data.variances[0])
        if self.data.gradients is not None:
            slopes = self.data.gradients.ravel()
            of_atoms = np.repeat(np.arange(len(self.structures)), [3 * len(atoms) for atoms in self.structures])
            owner, y = np.concatenate([owner, of_atoms]), np.concatenate([y, slopes])
            variance = np.concatenate([variance, np.full(len(slopes), self.data.variances[1])])
        return y, variance, [rows_of(owner, fold) for fold in self.folds()]

    def folds(self) -> list[IntArray]:
        """Return contiguous folds of the data."""
        return fold_indices(self.n_data, min(self.settings.folds, self.n_data))
