import numpy as np
import pytest
from ase.constraints import FixAtoms
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.errors import ConfigError
from hamlearn.structures import distort, invert, molecule, permute, random_rotation, rotate, translate
from hamlearn.structures.transforms import shuffle_like_atoms
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SYMMETRY = settings(derandomize=True, max_examples=25, deadline=None)


@SYMMETRY
@given(st.integers(0, 2**31), st.booleans())
def test_rotations_compose_keep_distances_and_commute_with_permutations(seed: int, improper: bool) -> None:
    rng = np.random.default_rng(seed)
    a, b = random_rotation(rng, improper), random_rotation(rng)
    assert np.linalg.det(a) == pytest.approx(-1 if improper else 1, abs=EXACT)
    np.testing.assert_allclose(a @ a.T, np.eye(3), atol=EXACT)
    atoms = distort(molecule("methane"), 0.2, rng)
    turned = rotate(atoms, a)
    np.testing.assert_allclose(turned.positions[2], a @ atoms.positions[2], atol=EXACT)
    np.testing.assert_allclose(rotate(turned, b).positions, rotate(atoms, b @ a).positions, atol=EXACT)
    np.testing.assert_allclose(turned.get_all_distances(), atoms.get_all_distances(), atol=EXACT)
    order = rng.permutation(len(atoms))
    np.testing.assert_array_equal(permute(turned, order).positions, rotate(permute(atoms, order), a).positions)


def test_small_conventions() -> None:
    water = molecule("water")
    quarter_turn_about_z = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    x, y, z = water.positions[1]
    np.testing.assert_array_equal(rotate(water, quarter_turn_about_z).positions[1], [-y, x, z])
    np.testing.assert_array_equal(invert(water).positions, -water.positions)
    np.testing.assert_array_equal(translate(water, [1, 2, 3]).positions[1], [x + 1, y + 2, z + 3])


def test_permute_takes_arrays_along_and_has_an_inverse() -> None:
    water = molecule("water")
    water.arrays["weights"] = np.array([10.0, 20.0, 30.0])
    water.info["name"] = "water"
    order = [2, 0, 1]
    moved = permute(water, order)
    assert list(moved.numbers) == [1, 8, 1]
    np.testing.assert_array_equal(moved.arrays["weights"], [30.0, 10.0, 20.0])
    assert moved.info == {"name": "water"}
    np.testing.assert_array_equal(permute(moved, np.argsort(order)).positions, water.positions)


def test_the_original_is_left_alone_and_constraints_do_not_hold_atoms_back() -> None:
    water = molecule("water")
    before = water.positions.copy()
    water.set_constraint(FixAtoms([0, 1, 2]))
    for moved in (invert(translate(water, [1, 0, 0])), distort(water, 0.1, 0), rotate(water, -np.eye(3))):
        assert not np.allclose(moved.positions, before)
    np.testing.assert_array_equal(water.positions, before)


def test_distort_is_seeded_and_has_the_amplitude_asked_for() -> None:
    c60 = molecule("C60")
    np.testing.assert_array_equal(distort(c60, 0.1, 5).positions, distort(c60, 0.1, 5).positions)
    assert not np.array_equal(distort(c60, 0.1, 5).positions, distort(c60, 0.1, 6).positions)
    moves = np.concatenate([distort(c60, 0.1, seed).positions - c60.positions for seed in range(50)])
    assert moves.std() == pytest.approx(0.1, rel=0.03)
    assert abs(moves.mean()) < 0.005
    np.testing.assert_array_equal(distort(c60, 0.0, 5).positions, c60.positions)


def test_random_rotations_are_uniform() -> None:
    """The Haar measure has E[R_ij] = 0 and E[R_ij R_kl] = delta_ik delta_jl / 3."""
    rng = np.random.default_rng(0)
    rotations = np.array([random_rotation(rng).ravel() for _ in range(4000)])
    np.testing.assert_allclose(rotations.mean(axis=0), 0.0, atol=0.05)
    np.testing.assert_allclose(rotations.T @ rotations / len(rotations), np.eye(9) / 3, atol=0.05)


def test_bad_arguments_are_refused() -> None:
    water = molecule("water")
    for rotation in (2 * np.eye(3), np.eye(2), np.full((3, 3), np.nan)):
        with pytest.raises(ConfigError, match="no orthogonal 3 x 3 matrix"):
            rotate(water, rotation)
    for order in ([0, 1], [0, 1, 1], [1, 2, 3]):
        with pytest.raises(ConfigError, match="no permutation of 0 to 2"):
            permute(water, order)
    for vector in ([1.0], [0.0, 0.0, np.inf]):
        with pytest.raises(ConfigError, match="three finite numbers"):
            translate(water, vector)
    for amplitude in (-0.1, np.nan, np.inf):
        with pytest.raises(ConfigError, match="amplitude_angstrom"):
            distort(water, amplitude, 0)


def test_shuffling_keeps_elements():
    numbers, rng = np.array([8, 1, 6, 1, 1, 6]), np.random.default_rng(0)
    orders = [shuffle_like_atoms(numbers, rng) for _ in range(20)]
    assert all((numbers[order] == numbers).all() for order in orders)
    assert len({tuple(order) for order in orders}) > 3
