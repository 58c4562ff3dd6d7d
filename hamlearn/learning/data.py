"""What a training set teaches: rows of every group, whose they are, and who is left out when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from hamlearn.learning.groups import Group
from hamlearn.regression.folds import random_folds, random_order
from hamlearn.types import FloatArray, IntArray

FEWEST_FOLDS = 8
"""Of few structures more folds are made where folds cost nothing: leaving out a third says little of a model of all."""


@dataclass(frozen=True)
class Data:
    """Targets of a training set as rows (sample, M) or (structure, M).

    Attributes:
        values: of every group [row, target], Hartree for matrices.
        owner: structure of every row of a group, ascending [row].
        n_structures: number of structures.
        gradients: of sums, derivatives with respect to positions [atom, 3] of all structures; None if not learned.
        variances: squared tolerance of a value and of a component of a gradient.
        functional: weights of the sums of structures that single data are [datum, structure]; rows are (datum, M) then.
            None: a datum of every structure.
        multiplicities: how often the numbers of each target stand in a whole matrix [target]; once where not said.
    """

    values: Mapping[Group, FloatArray]
    owner: Mapping[Group, IntArray]
    n_structures: int
    gradients: FloatArray | None = None
    variances: tuple[float, float] = (1.0, 1.0)
    multiplicities: Mapping[Group, FloatArray] = field(default_factory=dict)
    functional: FloatArray | None = None

    @property
    def groups(self) -> list[Group]:
        """All groups, in the order of their fits."""
        return list(self.values)

    @property
    def n_targets(self) -> dict[Group, int]:
        """Number of targets of every group."""
        return {group: y.shape[1] for group, y in self.values.items()}

    def offset(self, group: Group) -> FloatArray:
        """Return what is subtracted from the targets of a group before a fit [target]."""
        y = self.values[group]
        return y.mean(axis=0) if group.has_intercept else np.zeros(y.shape[1])

    def rows(self, group: Group) -> FloatArray:
        """Return the targets of a group without their offsets [row, target]."""
        return self.values[group] - self.offset(group)

    def multiplicity(self, group: Group) -> FloatArray:
        """Return how often the numbers of each target of a group count [target]."""
        return self.multiplicities.get(group, np.ones(self.values[group].shape[1]))

    def part(self, chosen: IntArray) -> Data:
        """Return the data of some structures, ascending, counted anew; without gradients."""
        keep = {group: np.isin(owner, chosen) for group, owner in self.owner.items()}
        values = {group: y[keep[group]] for group, y in self.values.items() if keep[group].any()}
        owner = {group: np.searchsorted(chosen, self.owner[group][keep[group]]) for group in values}
        return Data(values, owner, len(chosen), multiplicities=self.multiplicities)

    def arrays(self) -> dict[str, FloatArray | IntArray]:
        """Return all arrays by name, groups by their position."""
        optional = {"gradients": self.gradients, "functional": self.functional}
        out: dict[str, FloatArray | IntArray] = {name: x for name, x in optional.items() if x is not None}
        out["variances"] = np.array(self.variances)
        for k, group in enumerate(self.values):
            out |= {f"values.{k}": self.values[group], f"owner.{k}": self.owner[group]}
            out[f"multiplicities.{k}"] = self.multiplicity(group)
        return out

    @classmethod
    def of_arrays(cls, groups: Sequence[Group], n_structures: int, arrays: Mapping[str, Any]) -> Data:
        """Return the data of these groups whose :meth:`arrays` these are."""
        names = ("values", "owner", "multiplicities")
        known: dict[str, Any] = {n: {g: arrays[f"{n}.{k}"] for k, g in enumerate(groups)} for n in names}
        known |= {name: arrays.get(name) for name in ("gradients", "functional")}
        known["variances"] = tuple(map(float, arrays["variances"]))
        n_data = n_structures if known["functional"] is None else len(known["functional"])
        return cls(n_structures=n_data, **known)

    @cached_property
    def order(self) -> IntArray:
        """Random position of every structure, by a fixed seed."""
        return random_order(self.n_structures)

    def folds(self, n_folds: int) -> list[IntArray]:
        """Return the structures of every fold, dealt at random with a fixed seed."""
        return random_folds(self.n_structures, number_of_folds(self.n_structures, n_folds))


def number_of_folds(n_structures: int, n_folds: int) -> int:
    """Return how many folds some structures are dealt out to."""
    return min(max(n_folds, FEWEST_FOLDS), n_structures)
