"""Memory of covariances, and parts that fit into it."""

import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import TargetSettings
from hamlearn.errors import ConfigError
from hamlearn.learning.groups import check_held_out, covariance_gigabytes, groups_of, in_lots
from hamlearn.targets import target_orbitals


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


def test_memory_of_covariances_is_that_of_their_numbers():
    """Water in a minimal basis: O on-site (s-s, s-s, s-s, s-p, s-p, p-p L = 0, 2), H, H-H, O-H (s-s, s-s, s-p)."""
    groups = groups_of(target_orbitals(TargetSettings(kind="lowdin"), "sto-3g", [1, 8]))
    on_site_o = 3 * 1 + 2 * 3**2 + 1 + 5**2
    on_site_h, plus, cross = 2**2, 1, 2 * 2**2 + (2 * 3) ** 2
    numbers = np.array([8, 1, 1])
    assert covariance_gigabytes(numbers, groups) == pytest.approx(8e-9 * (on_site_o + on_site_h + plus + cross))
    waters = [Atoms("OHH", np.eye(3))] * 5
    needed = 3 * covariance_gigabytes(numbers, groups)
    check_held_out(waters, groups, 3, 1.01 * needed)
    with pytest.raises(ConfigError, match="3 structures left out, whose covariances need"):
        check_held_out(waters, groups, 3, 0.99 * needed)
