"""The contract of tasks, for tests: what is learned becomes rows of groups, and comes back."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from hamlearn.learning.groups import Answers
from hamlearn.structures import permute, random_rotation, rotate, translate
from hamlearn.testing import TOLERANCE
from hamlearn.testing.exact_problems import Problem, small_molecules
from hamlearn.testing.rotated_rows import assert_rows, rotated_rows

EXACT = TOLERANCE["float64"]["exact"]
STRUCTURES = small_molecules(5)


class TaskContract:
    """What every task must do; a class of tests derives from it and names the problem whose task it is.

    - Rows of a group are its samples, structure by structure, as many as the group says.
    - What is encoded is decoded again, also by a task that was written to a file and read.
    - Rows turn with the structures, h(R A) = s D^L(R) h(A), and forget where the structures are.
    - Decoded answers follow permutations of the atoms.
    """

    problem: ClassVar[Problem]

    def test_rows_are_those_of_the_samples(self) -> None:
        """Of as many structures as there are, and every structure has its own."""
        _, data = self.problem.encode(STRUCTURES)
        assert data.n_structures == len(STRUCTURES)
        assert data.groups
        for group, rows in data.values.items():
            sizes = [group.n_rows(atoms.numbers) for atoms in STRUCTURES]
            assert rows.shape == (sum(sizes), data.n_targets[group])
            np.testing.assert_array_equal(data.owner[group], np.repeat(np.arange(len(sizes)), sizes))

    @pytest.mark.parametrize("saved", [False, True])
    def test_what_is_encoded_is_decoded(self, saved: bool) -> None:
        """Exactly but for rounding, with or without a file between."""
        task, data = self.problem.encode(STRUCTURES)
        task = self.problem.saved(task) if saved else task
        found = self.problem.decode(task, Answers(len(STRUCTURES), data.values), STRUCTURES)
        for one, other in zip(found, self.problem.labels(STRUCTURES), strict=True):
            np.testing.assert_allclose(one, other, atol=EXACT * max(1.0, np.abs(other).max()))

    @pytest.mark.parametrize("improper", [False, True])
    def test_rows_turn_with_the_structures(self, improper: bool) -> None:
        """Wherever these are."""
        rotation = random_rotation(np.random.default_rng(0), improper)
        _, before = self.problem.encode(STRUCTURES)
        _, after = self.problem.encode([translate(rotate(atoms, rotation), [3.0, -2.0, 1.0]) for atoms in STRUCTURES])
        expected = {group: rotated_rows(rows, group, rotation) for group, rows in before.values.items()}
        assert_rows(after.values, expected, 1e3 * EXACT)

    def test_answers_follow_permutations(self) -> None:
        """Rows of another order of the atoms are the labels of that order."""
        rng = np.random.default_rng(0)
        orders = [rng.permutation(len(atoms)) for atoms in STRUCTURES]
        moved = [permute(atoms, order) for atoms, order in zip(STRUCTURES, orders, strict=True)]
        task, data = self.problem.encode(moved)
        found = self.problem.decode(task, Answers(len(moved), data.values), moved)
        for one, other, atoms, order in zip(self.problem.labels(STRUCTURES), found, STRUCTURES, orders, strict=True):
            expected = self.problem.permuted(one, atoms, order)
            np.testing.assert_allclose(other, expected, atol=1e2 * EXACT * max(1.0, np.abs(expected).max()))
