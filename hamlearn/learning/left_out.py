"""Which structures of a training set are predicted by a model that has not seen them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.learning.domain import Domain, families_of
from hamlearn.learning.groups import Group, check_held_out
from hamlearn.learning.limits import refuse_alone
from hamlearn.structures.families import numbers_of
from hamlearn.types import IntArray

if TYPE_CHECKING:
    from ase import Atoms

MOST_HELD_OUT = 200
"""Structures that are predicted while left out: enough for a quantile to a few per cent, in bounded memory. With fewer
in the training set every fold is divided for it, as a third of few structures is missed more than one of the new."""

FEWEST_PARTS = 8
"""Least number of parts of such a small training set."""


def check_left_out(structures: Sequence[Atoms], n_targets: Mapping[Group, int], memory_gb: float) -> None:
    """Refuse to leave out structures where there is one, or where their covariances do not fit into memory.

    Args:
        structures: training geometries.
        n_targets: number of targets of every group.
        memory_gb: the bound, GB.
    """
    refuse_alone(len(structures), "error bars need", ", or drop model.error_bars")
    check_held_out(numbers_of(structures), n_targets, min(len(structures), MOST_HELD_OUT), memory_gb)


def predictable(structures: Sequence[Atoms], part: IntArray, order: IntArray) -> IntArray:
    """Return the structures of a part to predict from the others: some at random, of species and pairs seen there."""
    known = Domain(families_of([structures[k] for k in np.setdiff1d(np.arange(len(structures)), part)]))
    inside = [k for k in part if order[k] < MOST_HELD_OUT and not known.lacks(structures[k])]
    return np.array(inside, dtype=np.int64)
