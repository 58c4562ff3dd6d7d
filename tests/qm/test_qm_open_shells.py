"""Unrestricted calculations: both spins as PySCF has them, kept with the molecule's symmetry, on disk and back."""

import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import QMSettings
from hamlearn.errors import ConfigError, SettingError, StructureError
from hamlearn.qm import compute_hessian, guess_fock, load_record, run_campaign, run_scf, save_record
from hamlearn.qm.method import fractional_occupations
from hamlearn.qm.molecule import mole_of
from hamlearn.structures import check_structures, random_rotation, rotate
from hamlearn.units import BOHR_ANGSTROM

UHF = QMSettings(method="UHF", basis="STO-3G", conv_tol=1e-12)
METHYL = Atoms("CH3", [[0, 0, 0.05], [1.08, 0, 0], [-0.54, 0.9353, 0], [-0.54, -0.9353, 0.03]])
HYDROXYL = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]])
OXYGEN = Atoms("O2", [[0, 0, 0], [0, 0, 1.21]], info={"multiplicity": 3})


def calculate(atoms, settings=UHF, guesses=()):
    return run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, settings, guesses)


@pytest.fixture(scope="module")
def methyl():
    return calculate(METHYL, guesses=("minao", "atom", "core", "sto-3g"))


def test_a_radical_is_what_pyscf_computes(methyl):
    from pyscf import gto, scf

    mole = gto.M(atom=[*zip(METHYL.symbols, METHYL.positions, strict=True)], basis="STO-3G", spin=1, verbose=0)
    field = scf.UHF(mole)
    field.conv_tol = 1e-12
    assert methyl.energy == pytest.approx(field.kernel(), abs=1e-7)
    assert methyl.fock.shape == (2, 8, 8)
    assert np.abs(methyl.orbital_energies - np.array(field.mo_energy)).max() < 1e-6
    assert methyl.occupations.sum(axis=1).tolist() == [5, 4]
    assert (methyl.charge, methyl.multiplicity) == (0, 2)


def test_kohn_sham_of_both_spins():
    hydrogen = calculate(Atoms("H"), QMSettings(method="UKS", xc="pbe", basis="STO-3G"))
    assert hydrogen.fock.shape == (2, 1, 1)
    assert hydrogen.orbital_energies[0, 0] < hydrogen.orbital_energies[1, 0]


@pytest.mark.parametrize("name", ["minao", "atom", "core", "sto-3g"])
def test_guesses_have_one_density_for_both_spins(methyl, name):
    alpha, beta = methyl.guess_focks[name]
    mole = mole_of(methyl.numbers, methyl.positions, UHF)
    assert np.abs(alpha - beta).max() < 1e-12
    assert np.abs(guess_fock(mole, UHF, name)[0] - alpha).max() < 1e-7


def test_a_singlet_has_equal_spins_and_the_levels_of_rhf(water):
    unrestricted, restricted = calculate(water), calculate(water, UHF.model_copy(update={"method": "RHF"}))
    for levels in unrestricted.orbital_energies:
        assert np.abs(levels - restricted.orbital_energies).max() < 1e-7
    assert unrestricted.fock.ndim == 3 and restricted.fock.ndim == 2


def test_degenerate_levels_share_their_electrons():
    """The pi shell of OH holds three electrons; whichever orbital held one only would point nowhere."""
    record = calculate(HYDROXYL)
    assert record.occupations[1].tolist() == [1, 1, 1, 0.5, 0.5, 0]
    turned = rotate(HYDROXYL, random_rotation(np.random.default_rng(2), improper=True))
    assert np.abs(calculate(turned).orbital_energies - record.orbital_energies).max() < 1e-8
    for levels in record.orbital_energies:
        assert np.ptp(levels[3:5]) < 1e-8
    assert record.provenance["degenerate_levels"] == "share their electrons"
    assert fractional_occupations(np.array([0.0, -1.0, -1.0, -2.0]), 2).tolist() == [0, 0.5, 0.5, 1]
    assert fractional_occupations(np.array([-1.0, 0.0]), 0).tolist() == [0, 0]


def test_records_keep_both_spins(methyl, tmp_path):
    save_record(tmp_path / "a.npz", methyl)
    loaded = load_record(tmp_path / "a.npz")
    assert loaded == methyl and loaded.multiplicity == 2 and loaded.has_spins


def test_campaigns_take_multiplicities_from_the_structures(tmp_path):
    campaign = run_campaign([HYDROXYL, OXYGEN], UHF, tmp_path)
    assert [campaign.load(k).multiplicity for k in range(2)] == [2, 3]
    check_structures([METHYL, HYDROXYL, OXYGEN], qm=UHF)


def test_bad_open_shells_are_refused():
    with pytest.raises(StructureError, match=r"multiplicity 3: 2 unpaired electrons; method RHF .*: use UHF"):
        check_structures([OXYGEN])
    with pytest.raises(StructureError, match="multiplicity 2 is impossible with 16 electrons"):
        check_structures([OXYGEN], qm=UHF.model_copy(update={"multiplicity": 2}))
    with pytest.raises(StructureError, match="cannot have multiplicity 4"):
        calculate(OXYGEN, UHF.model_copy(update={"multiplicity": 4}))
    with pytest.raises(SettingError, match=r"multiplicity 3 is an open shell, and method RHF .*; use method UHF"):
        QMSettings(multiplicity=3)
    with pytest.raises(SettingError, match="method UKS needs xc"):
        QMSettings(method="UKS")
    with pytest.raises(SettingError, match="use method UKS, or drop xc"):
        QMSettings(method="UHF", xc="pbe")


def test_restricted_open_shells_have_the_fock_matrices_of_both_spins():
    """Traces of density and Fock matrices give PySCF's energy, E = sum_s Tr D_s (h + F_s) / 2 + nuclei."""
    from pyscf import scf

    settings = UHF.model_copy(update={"method": "ROHF"})
    record = calculate(METHYL, settings, ("minao", "core"))
    field = scf.ROHF(mole_of(record.numbers, record.positions, settings))
    field.conv_tol = 1e-12
    assert record.energy == pytest.approx(field.kernel(), abs=1e-8)
    density, h = field.make_rdm1(), field.get_hcore()
    energy = 0.5 * np.einsum("sij,sij->", density, h + record.fock) + field.mol.energy_nuc()
    assert energy == pytest.approx(record.energy, abs=1e-6)
    assert record.energy > calculate(METHYL).energy and record.fock.shape == (2, 8, 8)
    assert record.guess_focks["minao"].shape == (2, 8, 8)
    assert calculate(OXYGEN, settings.model_copy(update={"multiplicity": 3})).occupations.sum(axis=1).tolist() == [9, 7]
    with pytest.raises(ConfigError, match="no second derivatives of ROHF; use UHF"):
        compute_hessian(METHYL, settings)
