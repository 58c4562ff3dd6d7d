"""Point groups are found, at any orientation and order of the atoms, and declared ones are checked."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule as ase_molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from random_groups import FINITE, LINEAR, random_molecule

from hamlearn.angular.ao_order import Orbitals
from hamlearn.errors import ConfigError, StructureError
from hamlearn.qm.molecule import load_basis, silent_mole
from hamlearn.structures import MOLECULES, distort, molecule
from hamlearn.symmetry import point_group, representation, require_group, symmetrise, violation
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
FROM_ASE = {"NH3": "C3v", "C6H6": "D6h", "CH4": "Td", "C3H4_D2d": "D2d", "C60": "Ih", "C2H2": "Dinfh", "HCN": "Cinfv"}


@pytest.mark.parametrize("name", MOLECULES)
def test_library(name):
    group = point_group(molecule(name))
    assert group.name == MOLECULES[name]
    assert group.largest_deviation_angstrom < EXACT
    identity = group.operations[0]
    np.testing.assert_allclose(identity.rotation, np.eye(3), atol=EXACT)
    assert (identity.permutation == np.arange(len(molecule(name)))).all()


@pytest.mark.parametrize("name", FROM_ASE)
def test_coordinates_of_ase(name):
    group = point_group(ase_molecule(name))
    assert group.name == FROM_ASE[name]
    assert group.order == {"C3v": 6, "D6h": 24, "Td": 24, "D2d": 8, "Ih": 120}.get(group.name, np.inf)


def test_deviation_of_ase_c60_is_told_and_averaged_away():
    atoms = ase_molecule("C60")
    group = point_group(atoms)
    assert 1e-3 < group.largest_deviation_angstrom < 0.02
    exact = symmetrise(atoms, group)
    again = point_group(exact, 1e-9)
    assert again.name == "Ih" and again.largest_deviation_angstrom < EXACT
    moved = np.linalg.norm(exact.positions - atoms.positions, axis=1).max()
    assert moved == pytest.approx(group.largest_deviation_angstrom)


@pytest.mark.parametrize("seed", range(5))
def test_distorted_benzene_has_no_symmetry(seed):
    assert point_group(distort(molecule("benzene"), 0.05, seed)).name == "C1"


@pytest.mark.parametrize("digits", [4, 5, 6])
@pytest.mark.parametrize("name", ["ammonia", "methane", "benzene", "allene", "acetylene"])
def test_rounded_coordinates_are_recognised(name, digits):
    atoms = molecule(name)
    atoms.rotate(37.0, (1, 2, 3))
    atoms.positions = atoms.positions.round(digits)
    assert point_group(atoms).name == MOLECULES[name]


@pytest.mark.parametrize("name", [*FINITE, *LINEAR])
@settings(derandomize=True, max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_molecules(name, seed):
    """Rotated and permuted: the group is found, and the operations map the molecule on itself."""
    atoms = random_molecule(name, seed)
    group = point_group(atoms)
    assert group.name == name
    x = atoms.positions - group.centre_angstrom
    for operation in group.operations:
        np.testing.assert_allclose(x @ operation.rotation.T, x[operation.permutation], atol=1e-10)
        assert (atoms.numbers[operation.permutation] == atoms.numbers).all()


@settings(derandomize=True, max_examples=20, deadline=None)
@given(
    name=st.sampled_from([n for n in (*FINITE, *LINEAR) if n not in ("I", "Ih", "Oh", "O", "Th", "Td")]),
    seed=st.integers(0, 2**32 - 1),
)
def test_noisy_random_molecules(name, seed):
    """A displacement of 5 mÅ hides no symmetry, and averaging restores it."""
    atoms = random_molecule(name, seed)
    noise = np.random.default_rng(seed).normal(size=(len(atoms), 3))
    atoms.positions += 0.005 * noise / np.linalg.norm(noise, axis=1).max()
    group = point_group(atoms)
    assert group.name == name
    assert point_group(symmetrise(atoms, group), 1e-8).name == name


@settings(derandomize=True, max_examples=25, deadline=None)
@given(name=st.sampled_from([*FINITE[:-2], *LINEAR]), seed=st.integers(0, 2**32 - 1))
def test_representation_commutes_with_overlap(name, seed):
    atoms = random_molecule(name, seed)
    mole, orbitals = mole_of(atoms)
    group = point_group(atoms)
    p = representation(group, orbitals, atoms.numbers)
    assert violation(mole.intor_symmetric("int1e_ovlp"), p) < 1e-9
    vectors = np.random.default_rng(seed).normal(size=(mole.nao, 3))  # of all of space; P P^T takes seconds
    assert abs(p @ (p.transpose(0, 2, 1) @ vectors) - vectors).max() < EXACT


def mole_of(atoms):
    """s, p and d functions, whatever the number of electrons."""
    symbols = atoms.get_chemical_symbols()
    shells = {name: [*load_basis("STO-3G", name), [2, [0.8, 1.0]]] for name in set(symbols)}
    mole = silent_mole(symbols, atoms.positions / 0.529177210903, shells, spin=int(sum(atoms.numbers)) % 2)
    return mole, Orbitals.from_mole(mole)


def test_declared_group_is_confirmed():
    assert require_group(molecule("benzene"), "D6h").name == "D6h"


def test_declared_group_the_geometry_lacks():
    atoms = molecule("benzene")
    atoms.positions[0, 0] += 0.1
    with pytest.raises(StructureError, match=r"C6H6 was declared D6h, but its geometry is C2v .* D6h is 0\.0\d+ Å"):
        require_group(atoms, "D6h")
    with pytest.raises(StructureError, match=r"declared Td, but its geometry is C2v .* within no tolerance"):
        require_group(molecule("water"), "Td")
    with pytest.raises(StructureError, match="no point group 'D6x'"):
        require_group(atoms, "D6x")


@pytest.mark.parametrize("tolerance", [0, -1, np.nan, np.inf])
def test_bad_tolerance(tolerance):
    with pytest.raises(ConfigError, match="expected a positive number"):
        point_group(molecule("water"), tolerance)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (Atoms("He"), "1 atom; a point group needs at least two"),
        (Atoms(), "0 atoms"),
        (Atoms("H2", [[0, 0, 0], [0, 0, np.nan]]), "NaN or infinite"),
        (Atoms("H2"), "0.000 Å apart"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 1]], pbc=True, cell=[9, 9, 9]), "periodic"),
    ],
)
def test_bad_structures(atoms, words):
    with pytest.raises(StructureError, match=words):
        point_group(atoms)


def test_symmetrise_refuses_another_molecule():
    with pytest.raises(StructureError, match="12 atoms, the point group was found for 3"):
        symmetrise(molecule("benzene"), point_group(molecule("water")))
