"""The PySCF molecule and what is refused before any calculation."""

import numpy as np
import pytest
from pyscf import gto

from hamlearn.config import QMSettings
from hamlearn.errors import BasisError, StructureError
from hamlearn.qm import run_scf
from hamlearn.qm.basis_names import is_auxiliary
from hamlearn.qm.molecule import (
    basis_hash,
    build_mole,
    check_basis,
    formula,
    load_basis,
    n_core_electrons,
    n_electrons,
    n_functions,
)
from hamlearn.testing import TOLERANCE
from hamlearn.units import BOHR_ANGSTROM

EXACT = TOLERANCE["float64"]["exact"]


@pytest.mark.parametrize("basis", ["STO-3G", "def2-SVP", "6-31g(d,p)", "cc-pvtz", "unc-sto-3g"])
def test_mole_is_the_one_pyscf_builds_in_angstrom(water, basis):
    mole = build_mole(water.numbers, water.positions / BOHR_ANGSTROM, basis)
    expected = gto.M(atom=list(zip(water.symbols, water.positions, strict=True)), basis=basis, verbose=0)
    assert mole.ao_labels() == expected.ao_labels()
    overlap, expected_overlap = mole.intor("int1e_ovlp"), expected.intor("int1e_ovlp")
    assert np.abs(overlap - expected_overlap).max() < 1e-9  # PySCF's Bohr differs in the tenth digit
    assert (mole.charge, mole.spin, mole.cart, mole.symmetry, mole.verbose) == (0, 0, False, False, 0)


def test_positions_are_bohr():
    mole = build_mole([1, 1], [[0, 0, 0], [0, 0, 1.5]], "STO-3G")
    assert np.abs(mole.atom_coords() - [[0, 0, 0], [0, 0, 1.5]]).max() < EXACT


def test_nothing_is_printed(water, capfd):
    build_mole(water.numbers, water.positions / BOHR_ANGSTROM, "STO-3G")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("numbers", [[1], [8, 1], [7]])
def test_odd_electrons_are_refused(numbers):
    with pytest.raises(StructureError, match="an even number"):
        n_electrons(numbers)
    with pytest.raises(StructureError, match="an even number"):
        build_mole(numbers, np.arange(3.0 * len(numbers)).reshape(-1, 3), "STO-3G")


@pytest.mark.parametrize(
    "basis", ["STO-3G", "def2-SVP", "DEF2_svp", "6-31G*", "cc-pVTZ", "aug-cc-pvdz", "ano", "minao"]
)
def test_usable_basis_is_accepted(basis):
    check_basis(basis, [1, 6, 7, 8, 16, 17])


@pytest.mark.parametrize(
    ("basis", "suggestion"),
    [("def2-SPV", "def2svp"), ("ccpvdzz", "ccpvdz"), ("6-31gg", "631"), ("nonsense basis", "")],
)
def test_unknown_basis_is_refused_with_the_nearest(basis, suggestion):
    with pytest.raises(BasisError, match="not one PySCF has") as error:
        check_basis(basis, [1, 8])
    assert suggestion in str(error.value)


def test_basis_without_an_element_names_it():
    with pytest.raises(BasisError, match="no functions for Xe"):
        check_basis("STO-3G", [1, 8, 54])


@pytest.mark.parametrize(
    ("basis", "number", "replaced"),
    [("def2-SVP", 53, 28), ("def2-TZVP", 53, 28), ("lanl2dz", 17, 10), ("def2-SVP", 35, 0), ("minao", 53, 28)],
)
def test_effective_core_potentials_of_a_basis_are_used(basis, number, replaced):
    check_basis(basis, [1, number])
    assert n_core_electrons(basis, number) == replaced
    mole = build_mole([number, 1], [[0, 0, 0], [0, 0, 3.0]], basis)
    assert mole.nelectron == number + 1 - replaced


@pytest.mark.parametrize(
    ("basis", "species", "named"),
    [
        ("gth-dzvp", [1, 6, 8], "C, O"),
        ("ccecp-ccpvdz", [6], "C"),
    ],
)
def test_basis_without_core_electrons_is_refused(basis, species, named):
    with pytest.raises(BasisError, match=f"for {named} lacks the core electrons"):
        check_basis(basis, species)


AUXILIARY = ["def2-universal-jkfit", "cc-pvdz-ri", "weigend", "weigend+etb", "demon", "ahlrichs", "dgauss-a1-xfit"]


@pytest.mark.parametrize(
    "basis", [*AUXILIARY, "cc-pVTZ-F12-OptRI", "unc-def2-svp-jkfit", "def2-tzvp-ri@3s2p", "cc-pvdz-fit"]
)
def test_auxiliary_sets_are_refused_for_every_element(basis):
    with pytest.raises(BasisError, match=r"is an auxiliary set, .* choose a basis of orbitals"):
        check_basis(basis, [1, 8, 30])


def test_what_pyscf_fits_with_is_refused_and_what_it_fits_is_not():
    from pyscf.df.addons import DEFAULT_AUXBASIS

    for orbital, fitted in DEFAULT_AUXBASIS.items():
        assert not is_auxiliary(orbital)
        assert all(is_auxiliary(name) for name in fitted if name)


@pytest.mark.parametrize(
    ("basis", "species", "says"),
    [
        ("cc-pVDZ-PP", [1, 8], "PySCF has cc-pVDZ-PP, but not for H, O: it belongs to a pseudopotential"),
        ("stuttgart", [1], "PySCF has stuttgart, but not for H: it belongs"),
        ("cc-pvdz", [55], "basis 'cc-pvdz' has no functions for Cs; choose"),
        ("3-21g", [92 - 6], "basis '3-21g' has no functions for Rn; choose"),
    ],
)
def test_a_known_basis_without_an_element_is_never_called_unknown(basis, species, says):
    with pytest.raises(BasisError, match=says):
        check_basis(basis, species)


@pytest.mark.parametrize("basis", ["cc-pCVDZ", "cc-pcvtz", "cc-pCVQZ"])
def test_names_of_several_files(basis):
    """Core-valence sets are two files; their energy is that of bare PySCF."""
    check_basis(basis, [6, 8])
    assert n_core_electrons(basis, 6) == 0
    if basis == "cc-pCVDZ":
        record = run_scf([6, 8], [[0, 0, 0], [0, 0, 1.128 / BOHR_ANGSTROM]], QMSettings(basis=basis))
        assert record.fock.shape == (36, 36)
        assert record.energy == pytest.approx(-112.75004331, abs=1e-6)


@pytest.mark.parametrize("basis", ["{file}", "{file}@1s", "unc{file}", "unc-{file}", "./{file}", "{file}.dat"])
def test_nothing_in_a_basis_file_is_executed(tmp_path, monkeypatch, basis):
    """PySCF evaluates expressions in basis files, also after a prefix and before a contraction."""
    text = "BASIS\nH S\n __import__('pathlib').Path('pwned').write_text('') or 1.0 1.0\nEND\n"
    for name in ("evil", "evil.dat"):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BasisError):
        load_basis(basis.format(file="evil"), "H")
    assert not (tmp_path / "pwned").exists()


def test_file_or_text_as_basis_is_refused(tmp_path, monkeypatch):
    (tmp_path / "STO-3G").write_text("H S\n 1.0 __import__('os').getpid()\n")
    with pytest.raises(BasisError, match="file or text"):
        load_basis(str(tmp_path / "STO-3G"), "H")
    with pytest.raises(BasisError, match="file or text"):
        load_basis("H S\n 1.0 1.0\n", "H")


def test_missing_element_is_refused_by_the_loader():
    with pytest.raises(BasisError, match="no basis 'STO-3G' for Xe"):
        load_basis("STO-3G", "Xe")


def test_basis_hash_depends_on_basis_and_elements_only():
    assert basis_hash("STO-3G", [8, 1, 1]) == basis_hash("sto3g", [1, 8])
    assert basis_hash("STO-3G", [8, 1]) != basis_hash("STO-3G", [1])
    assert basis_hash("STO-3G", [8, 1]) != basis_hash("6-31G", [8, 1])


@pytest.mark.parametrize(
    ("numbers", "text"), [([8, 1, 1], "H2O"), ([1, 6, 8, 6, 1, 1, 1, 1, 1], "C2H6O"), ([17, 1], "HCl")]
)
def test_formula(numbers, text):
    assert formula(numbers) == text


@pytest.mark.parametrize("basis", ["sto-3g", "def2-SVP", "cc-pVTZ", "def2-TZVPP"])
def test_functions_are_counted_without_building_a_molecule(basis):
    numbers = [6, 8, 1, 1, 17]
    mole = build_mole(numbers, 5.0 * np.arange(15).reshape(5, 3), basis, charge=0, multiplicity=None)
    assert n_functions(basis, numbers) == mole.nao
