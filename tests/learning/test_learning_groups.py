"""Groups of blocks, memory of their covariances, and parts that fit into it."""

import numpy as np
import pytest

from hamlearn.config import LowdinTarget
from hamlearn.errors import ConfigError
from hamlearn.learning.groups import Answers, Group, check_held_out, covariance_gigabytes, in_lots
from hamlearn.learning.tasks import targets_of
from hamlearn.structures.families import Family
from hamlearn.targets import target_orbitals

WATER = np.array([8, 1, 1])


@pytest.mark.parametrize(
    ("sizes", "most", "parts"),
    [
        ([1.0, 1.0, 1.0, 1.0, 1.0], 2.0, [(0, 2), (2, 4), (4, 5)]),
        ([1.0, 3.0, 1.0, 1.0], 2.0, [(0, 1), (1, 2), (2, 4)]),  # one is too large, and goes alone
        ([1.0, 1.0], np.inf, [(0, 2)]),
        ([], 2.0, []),
    ],
)
def test_lots_are_as_large_as_fits(sizes, most, parts):
    assert list(in_lots(sizes, most)) == parts


def test_lots_have_no_more_parts_than_are_allowed():
    assert list(in_lots([1.0, 1.0, 1.0, 5.0, 1.0], 4.0, 2)) == [(0, 2), (2, 3), (3, 4), (4, 5)]


def test_memory_of_covariances_is_that_of_their_numbers():
    """Water in a minimal basis: O on-site (s-s, s-s, s-s, s-p, s-p, p-p L = 0, 2), H, H-H, O-H (s-s, s-s, s-p)."""
    groups = targets_of(target_orbitals(LowdinTarget(), "sto-3g", [1, 8]))
    on_site_o = 3 * 1 + 2 * 3**2 + 1 + 5**2
    on_site_h, plus, cross = 2**2, 1, 2 * 2**2 + (2 * 3) ** 2
    assert covariance_gigabytes(WATER, groups) == pytest.approx(8e-9 * (on_site_o + on_site_h + plus + cross))
    sums = Group((Family("on_site", 1, 1), Family("on_site", 8, 8)), 2, 1, is_sum=True)
    assert covariance_gigabytes(WATER, {sums: 1}) == pytest.approx(8e-9 * 25)
    needed = 3 * covariance_gigabytes(WATER, groups)
    check_held_out([WATER] * 5, groups, 3, 1.01 * needed)
    with pytest.raises(ConfigError, match="3 structures left out, whose covariances need"):
        check_held_out([WATER] * 5, groups, 3, 0.99 * needed)
    with pytest.raises(ConfigError, match="covariances need"):  # the largest ones count
        check_held_out([WATER[:1], WATER, WATER, WATER], groups, 3, 0.99 * needed)


@pytest.mark.parametrize("numbers", [[8, 1, 1], [1], [8, 8, 1, 1, 1, 6], []])
@pytest.mark.parametrize("kind", ["on_site", "plus", "minus", "cross"])
def test_rows_are_those_of_the_samples(numbers, kind):
    family = Family(kind, 1, 8 if kind == "cross" else 1)
    z = np.array(numbers, dtype=np.int64)
    assert Group((family,), 1, 1).n_rows(z) == 3 * len(family.samples([z])) == 3 * family.count(z)
    assert Group((family,), 1, 1, is_sum=True).n_rows(z) == 3


def test_what_groups_are_called():
    both = tuple(Family("on_site", z, z) for z in (1, 8))
    families = both[1], Family("cross", 1, 6), Family("minus", 8, 8)
    assert [Group((family,), 0, 1).name for family in families] == ["O", "H-C", "O-O"]
    assert Group(both, 0, 1, is_sum=True).name == "H, O"


def test_only_scalars_of_single_atoms_have_an_intercept():
    """The mean of anything else turns, changes its sign, or belongs to the baseline."""
    atom, pair = (Family("on_site", 8, 8),), (Family("cross", 1, 8),)
    assert Group(atom, 0, 1).has_intercept
    others = [Group(atom, 0, -1), Group(atom, 1, 1), Group(pair, 0, 1), Group(atom, 0, 1, is_sum=True)]
    assert not any(group.has_intercept for group in others)


def test_answers_come_in_any_order():
    group, other = Group((Family("on_site", 1, 1),), 0, 1), Group((Family("on_site", 8, 8),), 0, 1)
    answers = Answers(3)
    answers.add(group, np.array([[5.0]]), [np.ones((1, 1, 1)), np.ones((1, 0, 0))], start=1)
    answers.add(group, np.array([[1.0], [2.0]]), [np.zeros((1, 2, 2))])
    answers.add(other, np.array([[7.0]]))
    assert answers.values()[group].ravel().tolist() == [1.0, 2.0, 5.0]
    assert answers.values()[other].tolist() == [[7.0]]
    assert [set(known) for known in answers.covariances] == [{group}, {group}, set()]
    assert Answers(1, {group: np.eye(1)}).values()[group].tolist() == [[1.0]]
