"""Structures as arrays and back."""

import numpy as np
import pytest
from ase import Atoms

from hamlearn.structures.arrays import structures_as_arrays, structures_of_arrays


@pytest.mark.parametrize("n", [0, 1, 3])
def test_structures_of_their_arrays_are_the_same_atoms(waters, n):
    structures = [*waters[:n], Atoms("He")][:n]
    arrays = structures_as_arrays(structures)
    assert arrays["sizes"].tolist() == [3] * n and arrays["positions"].shape == (3 * n, 3)
    again = structures_of_arrays(arrays)
    assert len(again) == n
    for one, other in zip(again, structures, strict=True):
        np.testing.assert_array_equal(one.numbers, other.numbers)
        np.testing.assert_array_equal(one.positions, other.positions)


def test_structures_of_many_sizes_and_without_what_is_no_geometry():
    atoms = Atoms("OHH", np.arange(9.0).reshape(3, 3), info={"energy": 1.0}, cell=[5, 5, 5], pbc=True)
    helium, water = structures_of_arrays(structures_as_arrays([Atoms("He"), atoms]))
    assert (len(helium), len(water)) == (1, 3) and not water.info and not water.pbc.any()
    atoms.positions[0] = 9.0
    assert water.positions[0, 0] == 0.0
