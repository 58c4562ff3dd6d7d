"""What a sparse learner leaves out at first, and the memory of its groups."""

from dataclasses import replace

import numpy as np
import pytest
from noisy_waters import SMALL, N, noisy_waters

from hamlearn.errors import ConfigError
from hamlearn.kernels import BlockKernel
from hamlearn.learning.data import Data
from hamlearn.learning.group_fits import (
    MOST_HELD_OUT,
    check_memory,
    first_held,
    gigabytes,
    held_fraction,
    most_columns,
    n_held_out,
    owners_in_reach,
)
from hamlearn.learning.groups import Group
from hamlearn.regression.full import full_gigabytes
from hamlearn.structures.families import Family

HO = Family("cross", 1, 8)


@pytest.fixture(scope="module")
def known(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


def test_structures_left_out_first_are_drawn_from_all():
    data = Data({}, {}, 2000)
    held = first_held(data, 3, [])
    assert len(held) == MOST_HELD_OUT == n_held_out(2000, 3)
    assert held.max() > 1800 and (np.diff(held) > 0).all()
    assert set(held) <= set(data.folds(3)[0])
    assert held_fraction(2000, 3) == MOST_HELD_OUT / 2000
    assert n_held_out(N, 3) == len(first_held(Data({}, {}, N), 3, [])) == 2


def test_structures_left_out_first_hold_pairs_within_reach(known):
    """If those of the first fold are all beyond the cut-off, another structure joins them; if all are, none does."""
    group = Group((HO,), 0, 1)
    data = Data({group: np.zeros((2 * N, 1))}, {group: np.repeat(np.arange(N), 2)}, N)
    centres = BlockKernel(SMALL).fit(known.structures).centres(known.structures)
    first = first_held(data, 3, owners_in_reach(centres, [group]))
    assert first.tolist() == data.folds(3)[0].tolist()
    bonds = centres.bonds[1, 8]
    for lost, joined in ((first, 1), (np.arange(N), 0)):
        near = ~np.isin(bonds.structure, lost)
        far = replace(bonds, radial=bonds.radial * near[:, None, None])
        beyond = replace(centres, bonds={**centres.bonds, (1, 8): far})
        held = first_held(data, 3, owners_in_reach(beyond, [group]))
        assert len(held) == len(first) + joined and set(first) <= set(held)


def test_groups_need_memory_for_their_basis_and_what_is_left_out():
    group, small = Group((HO,), 1, 1), Group((HO,), 0, 1)
    assert gigabytes(300) == pytest.approx(8e-9 * 8 * 300**2)
    assert most_columns(gigabytes(300)) in (299, 300)  # to rounding
    assert most_columns(1.001 * gigabytes(300, 60), 60) == 300
    needed = gigabytes(300, 60)
    assert needed - gigabytes(300) == pytest.approx(8e-9 * 2 * 60 * 300)
    check_memory([small, group], {HO: 100}, 1.01 * needed, {HO: 20})
    with pytest.raises(ConfigError, match=r"the kernel of 300 rows \(H-O, L = 1\) needs .* model.basis: sparse"):
        check_memory([small, group], {HO: 100}, 0.99 * needed, {HO: 20})
    check_memory([small], {HO: 100}, 0.99 * needed, {HO: 20})
    needed = full_gigabytes(300, 38, error_bars=True)
    check_memory([small, group], {HO: 100}, 1.01 * needed, n_folds=8)
    with pytest.raises(ConfigError, match=r"the kernel of 300 rows"):
        check_memory([small, group], {HO: 100}, 0.99 * needed, n_folds=8)
