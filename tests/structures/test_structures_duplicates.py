"""Equal geometries are found in whatever pose, and different ones never taken for them."""

import numpy as np
import pytest

from hamlearn.structures import distort, invert, molecule, permute, random_rotation, rotate, translate
from hamlearn.structures.duplicates import distinct_geometries, repeated_in_words
from hamlearn.structures.transforms import shuffle_like_atoms


@pytest.fixture
def frames():
    return [distort(molecule(name), 0.03, seed) for seed in range(6) for name in ("water", "ethane", "methane")]


def posed(atoms, rng, decimals=16):
    """The same molecule in another pose, as a file of so many decimals holds it."""
    moved = permute(atoms, rng.permutation(len(atoms)))
    moved = translate(rotate(moved, random_rotation(rng, improper=bool(rng.integers(2)))), rng.normal(size=3))
    moved.positions = moved.positions.round(decimals)
    return moved


def test_poses_of_one_geometry_are_one_and_others_are_not(frames):
    rng = np.random.default_rng(0)
    labels = distinct_geometries([*frames, *(posed(atoms, rng, 4) for atoms in frames), *map(invert, frames)])
    assert len(set(labels[:18])) == 18
    np.testing.assert_array_equal(labels[18:36], labels[:18])
    np.testing.assert_array_equal(labels[36:], labels[:18])


def test_exchanged_elements_and_small_vibrations_are_other_geometries():
    water = molecule("water")
    other = water.copy()
    other.numbers = [1, 8, 1]
    near = distort(water, 0.02, 1)
    assert len(set(distinct_geometries([water, other, near]))) == 3
    order = shuffle_like_atoms(water.numbers, np.random.default_rng(3))
    assert len(set(distinct_geometries([water, permute(water, order)]))) == 1


def test_atoms_alone_and_many_copies():
    from ase import Atoms

    assert list(distinct_geometries([Atoms("He"), Atoms("Ne"), Atoms("He", positions=[[1, 2, 3]])])) == [0, 1, 0]
    assert len(set(distinct_geometries([molecule("benzene")] * 3000))) == 1


def test_words_count_the_test_structures(frames):
    rng = np.random.default_rng(1)
    repeated = [posed(frames[0], rng), posed(frames[4], rng), distort(molecule("water"), 0.03, 99)]
    words = repeated_in_words([*frames, *repeated], len(frames))
    assert words.startswith("2 of 3 test structures are equal to a training structure")
    assert "(21 structures, 19 distinct geometries)" in words
    assert repeated_in_words(frames, 10) == ""
    assert repeated_in_words([*frames, *frames], 36) == ""
