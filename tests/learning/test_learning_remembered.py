"""What a learner gets from its base class: the training set as its state."""

import numpy as np
import pytest

from hamlearn import Learner, ModelSettings
from hamlearn.job import SILENT
from hamlearn.learning.data import Data
from hamlearn.learning.groups import Answers, Group
from hamlearn.structures.families import Family


class MeanLearner(Learner):
    """The mean row of every group, and how often it was fitted."""

    def fit(self, structures, data, job, held_out=False):
        self.remember(structures, data)
        self.means_ = {group: rows.mean(axis=0) for group, rows in data.values.items()}
        return self

    def predict(self, structures, job):
        rows = {g: np.tile(y, (sum(g.n_rows(a.numbers) for a in structures), 1)) for g, y in self.means_.items()}
        return Answers(len(structures), rows)


SETTINGS = ModelSettings(kind="ridge")
ATOMS = Group((Family("on_site", 8, 8),), 1, 1)
PAIRS = Group((Family("cross", 1, 8),), 0, 1)
SUM = Group((Family("on_site", 1, 1), Family("on_site", 8, 8)), 0, 1, is_sum=True)


def data_of(groups, n, **more):
    rng = np.random.default_rng(0)
    rows = {group: group.n_rows(np.array([8, 1, 1])) for group in groups}
    values = {group: rng.normal(size=(n * count, 2)) for group, count in rows.items()}
    owner = {group: np.repeat(np.arange(n), count) for group, count in rows.items()}
    return Data(values, owner, n, **more)


def assert_same(one, other):
    assert one.groups == other.groups and one.n_structures == other.n_structures
    assert one.variances == other.variances
    for group in one.groups:
        np.testing.assert_array_equal(one.values[group], other.values[group])
        np.testing.assert_array_equal(one.owner[group], other.owner[group])
        np.testing.assert_array_equal(one.multiplicity(group), other.multiplicity(group))
    for name in ("gradients", "functional"):
        here, there = getattr(one, name), getattr(other, name)
        assert (here is None) == (there is None)
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize(
    ("groups", "more"),
    [
        ([ATOMS, PAIRS], {"multiplicities": {ATOMS: np.array([1.0, 2.0])}}),
        ([SUM], {"gradients": np.arange(36.0).reshape(12, 3), "variances": (0.5, 2.0)}),
        ([SUM], {"functional": np.eye(4) - 0.5}),
        ([SUM], {}),
    ],
)
def test_the_training_set_is_the_state(waters, groups, more):
    data = data_of(groups, 4, **more)
    assert_same(Data.of_arrays(groups, 4, data.arrays()), data)
    fitted = MeanLearner(SETTINGS).fit(waters[:4], data, SILENT)
    spec, tensors = fitted.state()
    again = MeanLearner.from_state(SETTINGS, data.n_targets, spec, tensors)
    assert_same(again.data_, data)
    assert again.domain_ == fitted.domain_ and again.settings is SETTINGS
    assert all(family.kind == "on_site" for family in again.domain_.families) == (groups == [SUM])
    for one, other in zip(again.structures_, waters[:4], strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)
    for group, rows in again.predict(waters[4:6], SILENT).values().items():
        np.testing.assert_array_equal(rows, fitted.predict(waters[4:6], SILENT).values()[group])


def test_what_is_remembered_does_not_change_with_the_structures(waters):
    structures = [atoms.copy() for atoms in waters[:2]]
    fitted = MeanLearner(SETTINGS).fit(structures, data_of([PAIRS], 2), SILENT)
    structures[0].positions += 1.0
    np.testing.assert_array_equal(fitted.structures_[0].positions, waters[0].positions)
