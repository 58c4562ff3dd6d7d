"""Rows of groups, parts of them and folds."""

import numpy as np
import pytest
from noisy_waters import Known, N, noisy_waters

from hamlearn.learning.data import FEWEST_FOLDS, Data, number_of_folds
from hamlearn.learning.groups import Group
from hamlearn.structures.families import Family
from hamlearn.testing.exact_problems import PropertyProblem, small_molecules

O, HO = (Family("on_site", 8, 8),), (Family("cross", 1, 8),)


@pytest.fixture(scope="module")
def known(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


def test_parts_are_the_data_of_those_structures(known):
    """As if the others had never been there."""
    chosen = np.array([1, 4, 11])
    part = known.data.part(chosen)
    some = Known.of([known.structures[k] for k in chosen], [known.matrices[k] for k in chosen], known.task.orbitals)
    assert part.n_structures == 3 and part.groups == some.data.groups and part.n_targets == some.data.n_targets
    for group in part.groups:
        np.testing.assert_array_equal(part.values[group], some.data.values[group])
        np.testing.assert_array_equal(part.owner[group], some.data.owner[group])
        np.testing.assert_array_equal(part.multiplicity(group), some.data.multiplicity(group))


def test_groups_without_rows_are_not_in_a_part(known):
    group = Group(O, 0, 1)
    data = Data({group: np.ones((1, 2))}, {group: np.array([3])}, 5)
    assert data.part(np.array([0, 1])).groups == [] and data.part(np.array([3])).groups == [group]


def test_means_of_scalars_of_atoms_are_subtracted(known):
    for group in known.data.groups:
        rows, offset = known.data.rows(group), known.data.offset(group)
        np.testing.assert_allclose(rows + offset, known.data.values[group], atol=1e-14)
        if group.irrep == (0, 1) and group.family.kind == "on_site":
            np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=1e-12)
        else:
            assert not offset.any()
    assert known.data.offset(Group(O, 0, 1)).all()


def test_matrix_elements_are_counted_as_often_as_they_stand_in_the_matrix(known):
    """The sum of all squares of blocks, so often each, is that of the matrix."""
    total = sum((y**2).sum(axis=0) @ known.data.multiplicity(group) for group, y in known.data.values.items())
    assert total == pytest.approx(sum((m**2).sum() for m in known.matrices), rel=1e-10)
    plain = Data({Group(HO, 1, 1): np.zeros((3, 2))}, {Group(HO, 1, 1): np.zeros(3, int)}, 1)
    assert plain.multiplicity(Group(HO, 1, 1)).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("n", "asked", "folds"), [(5, 3, 5), (16, 3, FEWEST_FOLDS), (200, 12, 12), (1, 3, 1)])
def test_folds_hold_every_structure_once(n, asked, folds):
    """At least eight, where there are so many structures."""
    found = Data({}, {}, n).folds(asked)
    assert len(found) == folds == number_of_folds(n, asked)
    assert sorted(np.concatenate(found).tolist()) == list(range(n))
    assert all(one.tolist() == other.tolist() for one, other in zip(found, Data({}, {}, n).folds(asked), strict=True))
    assert sorted(Data({}, {}, N).order.tolist()) == list(range(N))


def test_arrays_hold_everything(known):
    """Of a matrix, of a property with forces, and of sums of structures."""
    _, forces = PropertyProblem(forces=True).encode(small_molecules(4))
    weights = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    sums = Data({Group(O, 0, 1): np.ones((2, 1))}, {Group(O, 0, 1): np.arange(2)}, 2, functional=weights)
    for data, n_structures in ((known.data, N), (forces, 4), (sums, 3)):
        found = Data.of_arrays(data.groups, n_structures, data.arrays())
        assert found.groups == data.groups and found.n_structures == data.n_structures
        assert found.variances == data.variances
        for name in ("values", "owner"):
            assert all(np.array_equal(getattr(found, name)[g], getattr(data, name)[g]) for g in data.groups)
        assert all(np.array_equal(found.multiplicity(g), data.multiplicity(g)) for g in data.groups)
        for one, other in ((found.gradients, data.gradients), (found.functional, data.functional)):
            assert np.array_equal(one, other) if other is not None else one is None
