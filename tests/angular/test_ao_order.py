"""The order of orbitals is tested by rotating molecules and computing S and F again."""

import numpy as np
import pytest
from ase import Atoms
from bare_pyscf import bare_mole, bare_rhf

from hamlearn.angular.ao_order import Orbitals
from hamlearn.angular.ao_rotation import ao_permutation, ao_rotation
from hamlearn.errors import BasisError
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.testing import TOLERANCE

EQUIVARIANCE = TOLERANCE["float64"]["equivariance"]


@pytest.mark.parametrize("basis", ["sto-3g", "def2-svp", "cc-pvdz", "ano", "cc-pvqz"])
@pytest.mark.parametrize("improper", [False, True])
def test_overlap_of_a_rotated_molecule(basis, improper):
    """s to g shells, segmented and generally contracted."""
    atoms = Atoms("OCHS", [[0, 0, 0.1], [0.9, 0.7, -0.4], [-0.3, 1.1, 0.8], [1.4, -1.1, 0.9]])
    rotation = random_rotation(np.random.default_rng(3), improper)
    turned = rotate(atoms, rotation)
    mole = bare_mole_any_spin(atoms, basis)
    t = ao_rotation(Orbitals.from_mole(mole), atoms.numbers, rotation)
    before = mole.intor("int1e_ovlp")
    after = bare_mole_any_spin(turned, basis).intor("int1e_ovlp")
    np.testing.assert_allclose(after, t @ before @ t.T, atol=EQUIVARIANCE)
    assert np.abs(after - before).max() > 1e-3


def bare_mole_any_spin(atoms, basis):
    from pyscf import gto

    pairs = list(zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True))
    return gto.M(atom=pairs, basis=basis, spin=None, verbose=0, parse_arg=False)


@pytest.mark.parametrize("improper", [False, True])
def test_fock_of_a_rotated_and_permuted_molecule(hydrogen_peroxide, improper):
    rotation, order = random_rotation(np.random.default_rng(5), improper), [1, 0, 3, 2]
    mole, before, _ = bare_rhf(hydrogen_peroxide, "def2-svp")
    _, after, _ = bare_rhf(permute(rotate(hydrogen_peroxide, rotation), order), "def2-svp")
    orbitals = Orbitals.from_mole(mole)
    t = ao_rotation(orbitals, hydrogen_peroxide.numbers, rotation)
    index = ao_permutation(orbitals, hydrogen_peroxide.numbers, order)
    expected = (t @ before @ t.T)[np.ix_(index, index)]
    np.testing.assert_allclose(after, expected, atol=TOLERANCE["float64"]["scf"])


def test_shells_of_def2_svp(water):
    orbitals = Orbitals.from_mole(bare_mole(water, "def2-svp"))
    assert orbitals.shells == {1: ((1, 0), (2, 0), (2, 1)), 8: ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))}
    assert orbitals.n_ao(water.numbers) == 24
    assert Orbitals.from_dict(orbitals.to_dict()) == orbitals


def test_labels_agree_with_pyscf(water):
    mole = bare_mole(water, "def2-svp")
    ours = [[*label.split()[:2], label.split()[2][:2]] for label in Orbitals.from_mole(mole).labels(water.numbers)]
    theirs = [[str(atom), name, shell[:2]] for atom, name, shell, _ in mole.ao_labels(fmt=None)]
    assert ours == theirs


def test_subset_keeps_pyscf_order(water):
    mole = bare_mole(water, "def2-svp")
    full, keep = Orbitals.from_mole(mole), {8: [(2, 0), (2, 1)], 1: [(1, 0)]}
    index = full.subset_index(keep, water.numbers)
    assert [mole.ao_labels()[k].split()[2] for k in index] == ["2s", "2px", "2py", "2pz", "1s", "1s"]
    minimal = full.subset(keep)
    assert [full.labels(water.numbers)[k] for k in index] == minimal.labels(water.numbers)


def test_cartesian_functions_are_refused(water):
    from pyscf import gto

    mole = gto.M(atom="Ne 0 0 0", basis="cc-pvdz", cart=True, verbose=0, parse_arg=False)
    with pytest.raises(BasisError, match="cart=False"):
        Orbitals.from_mole(mole)


def test_unlike_bases_on_like_atoms_are_refused():
    from pyscf import gto

    mole = gto.M(atom="H1 0 0 0; H2 0 0 1", basis={"H1": "sto-3g", "H2": "6-31g"}, verbose=0, parse_arg=False)
    with pytest.raises(BasisError, match="different basis functions"):
        Orbitals.from_mole(mole)
