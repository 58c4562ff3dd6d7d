"""What a sparse kernel model leaves out at first."""

from dataclasses import replace

import numpy as np
import pytest
from noisy_waters import SMALL, N, noisy_waters

from hamlearn.kernels import BlockKernel
from hamlearn.learning import kernel_training
from hamlearn.learning.groups import Group
from hamlearn.structures.samples import Family


@pytest.fixture(scope="module")
def data(waters, water_lowdin):
    return noisy_waters(waters, water_lowdin)


def test_structures_left_out_first_are_drawn_from_all(data):
    held = kernel_training.Data({}, data[1], 2000, 3).first_held(None)
    assert len(held) == kernel_training.MOST_HELD_OUT
    assert held.max() > 1800 and (np.diff(held) > 0).all()
    assert set(held) <= set(kernel_training.Data({}, data[1], 2000, 3).folds[0])


def test_structures_left_out_first_hold_pairs_within_reach(data):
    """If those of the first fold are all beyond the cut-off, another structure joins them; if all are, none does."""
    group = Group(Family("cross", 1, 8), 0, 1)
    folds = kernel_training.Data({group: []}, data[1], N, 3)
    centres = BlockKernel(SMALL).fit(data[0]).centres(data[0])
    first = folds.first_held(centres)
    assert first.tolist() == folds.folds[0].tolist()
    bonds = centres.bonds[1, 8]
    for lost, joined in ((first, 1), (np.arange(N), 0)):
        near = ~np.isin(bonds.structure, lost)
        far = replace(bonds, radial=bonds.radial * near[:, None, None])
        held = folds.first_held(replace(centres, bonds={**centres.bonds, (1, 8): far}))
        assert len(held) == len(first) + joined and set(first) <= set(held)
