"""Rounding of positions decides nothing: frames, orders of operations and of levels are chosen by rule."""

import numpy as np
import pytest
from ase.build import molecule as ase_molecule

from hamlearn import TargetSettings
from hamlearn.observables import Prediction
from hamlearn.structures import MOLECULES, molecule, random_rotation, rotate
from hamlearn.symmetry import Multiplet, group_average, label_levels, point_group, representation
from hamlearn.symmetry.jahn_teller import level_responses
from hamlearn.symmetry.vibrations import vibrations
from hamlearn.symmetry.walsh import walsh_diagram
from hamlearn.targets import target_orbitals

OTHERS = ("cyclobutane", "CH3Cl", "SiH4", "Si2H6", "P2")


def given(name):
    return molecule(name) if name in MOLECULES else ase_molecule(name)


@pytest.mark.parametrize("name", [name for name in (*MOLECULES, *OTHERS) if name != "C60"])
def test_rounding_changes_neither_frame_nor_order(name):
    rng = np.random.default_rng(0)
    for turn in (np.eye(3), random_rotation(rng)):
        atoms = rotate(given(name), turn)
        group = point_group(atoms)
        for _ in range(4):
            moved = atoms.copy()
            moved.positions += 1e-15 * rng.normal(size=moved.positions.shape)
            again = point_group(moved)
            assert again.name == group.name
            np.testing.assert_array_equal(again.permutations, group.permutations)
            np.testing.assert_allclose(again.rotations, group.rotations, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_levels_equal_by_accident_are_in_the_order_of_the_irreps(seed):
    """All levels of a constant, all vibrations of a constant: rounding must not sort them."""
    atoms = molecule("water")
    group, basis = point_group(atoms), target_orbitals(TargetSettings(), "def2-SVP", [1, 8])
    operations = representation(group, basis, atoms.numbers)
    rng = np.random.default_rng(seed)

    def constant(n):
        noise = 1e-15 * rng.normal(size=(n, n))
        return np.eye(n) + noise + noise.T

    irreps = ["A1", "A1", "A1", "B1", "B2", "B2"]
    matrix = group_average(constant(6), operations)
    assert [level.irrep for level in label_levels(matrix, None, 4, group, operations)] == irreps
    one = Prediction(atoms.numbers, matrix, None, 4, basis)
    assert [track.irrep for track in walsh_diagram([atoms], [one])] == irreps
    masses = np.repeat(atoms.get_masses(), 3)
    hessian = np.sqrt(np.outer(masses, masses)) * constant(9)
    assert [mode.irrep for mode in vibrations(atoms, hessian, group)] == ["A1", "A1", "B2"]


@pytest.mark.parametrize("rounding", [-1e-15, 0.0, 1e-15])
def test_the_splitting_at_the_largest_displacement_is_that_of_the_first_of_two(rounding):
    """Of -q and q, where the splitting is larger on one side."""
    q = np.array([-2e-3, -1e-3, 1e-3, 2e-3 * (1 + 2 * rounding)])
    levels = np.stack([-0.7 * abs(q) - 10 * q**2 * np.sign(q), 0.7 * abs(q)], axis=1)
    (found,) = level_responses([Multiplet(0.0, "E", 2, 4, (0, 1), 0.0)], q, levels)
    assert found.splitting_ev == pytest.approx(2.8e-3 - 4e-5, rel=1e-9)
