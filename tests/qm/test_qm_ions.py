"""Ions: the charge reaches PySCF, the record and its name; neutral molecules keep the names their records have."""

import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import QMSettings
from hamlearn.errors import ArtifactError, StructureError
from hamlearn.qm import compute_hessian, load_record, pack_campaign, record_key, run_campaign, run_scf, save_record
from hamlearn.qm.molecule import n_electrons
from hamlearn.units import BOHR_ANGSTROM

STO3G = QMSettings(basis="STO-3G", conv_tol=1e-12)
WATER = (np.array([8, 1, 1]), np.array([[0.0, 0.1, 0.2], [1.0, 1.1, 1.2], [-0.5, 0.7, 2.0]]))


def hydride(charge=1):
    return Atoms("HeH", [[0, 0, 0], [0, 0, 0.77]], info={"charge": charge})


def test_neutral_molecules_keep_their_keys():
    """Names that records of versions without charges have."""
    neutral = QMSettings(basis="STO-3G")
    assert record_key(*WATER, neutral) == "cebe74cf24f1c7f3ad949981e4c27625ae440c7c8ade9b50333fb6a701890bc4"
    pbe = QMSettings(method="RKS", xc="pbe", basis="STO-3G")
    assert record_key(*WATER, pbe, ("core",)) == "f12f016102f68e9c65d5a4412e34eeb7f1eb4d631d95153ad06c697c2949bab7"
    said = neutral.model_copy(update={"charge": 0, "multiplicity": 1})
    assert record_key(*WATER, said) == record_key(*WATER, neutral)


def test_keys_tell_charges_and_multiplicities_apart():
    states = [(0, None), (2, None), (-2, 1), (0, 3), (2, 3)]
    keys = {record_key(*WATER, STO3G.model_copy(update={"charge": q, "multiplicity": m})) for q, m in states}
    assert len(keys) == len(states)


def test_an_ion_is_what_pyscf_computes(tmp_path):
    from pyscf import gto, scf

    atoms = hydride()
    record = run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, STO3G.model_copy(update={"charge": 1}))
    mole = gto.M(atom="He 0 0 0; H 0 0 0.77", basis="STO-3G", charge=1, verbose=0)
    field = scf.RHF(mole)
    field.conv_tol = 1e-12
    assert record.energy == pytest.approx(field.kernel(), abs=1e-7)  # PySCF's Bohr differs in the tenth digit
    assert np.abs(record.orbital_energies - field.mo_energy).max() < 1e-6
    assert record.occupations.tolist() == [2, 0]
    assert record.charge == 1
    save_record(tmp_path / "a.npz", record)
    assert load_record(tmp_path / "a.npz").charge == 1


def test_a_campaign_of_several_charges(tmp_path):
    structures = [hydride(), Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), Atoms("LiH", [[0, 0, 0], [0, 0, 1.6]])]
    structures[2].set_initial_charges([1.0, 1.0])
    campaign = run_campaign(structures, STO3G, tmp_path / "qm", guess_focks=("sto-3g", "minao"))
    assert not campaign.failures
    assert [campaign.load(k).charge for k in range(3)] == [1, 0, 2]
    pack_campaign(tmp_path / "qm")
    assert [campaign.load(k).charge for k in range(3)] == [1, 0, 2]


def test_open_shells_and_contradictions_are_refused_before_any_calculation(tmp_path):
    with pytest.raises(StructureError, match="1: 3 electrons, an odd number"):
        run_campaign([hydride(), hydride(0)], STO3G, tmp_path / "qm")
    with pytest.raises(StructureError, match=r"qm\.charge -1 contradicts charge 1"):
        run_campaign([hydride()], QMSettings(basis="STO-3G", charge=-1), tmp_path / "qm")
    assert not (tmp_path / "qm").exists()
    with pytest.raises(StructureError, match="cannot have multiplicity 2"):
        n_electrons([2, 1], 1, 2)


def test_hessian_of_an_ion():
    stretched = compute_hessian(hydride(), STO3G)[5, 5]
    assert stretched > 0
    with pytest.raises(StructureError, match="an odd number"):
        compute_hessian(hydride(0), STO3G)


def test_a_record_of_an_ion_is_not_read_as_that_of_a_molecule(tmp_path, monkeypatch):
    """Versions that know no charges refuse it."""
    import hamlearn.qm.record as module

    atoms = hydride()
    save_record(
        tmp_path / "a.npz",
        run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, STO3G.model_copy(update={"charge": 1})),
    )
    monkeypatch.setattr(module, "FORMAT_VERSION", 1)
    with pytest.raises(ArtifactError, match="upgrade hamlearn"):
        load_record(tmp_path / "a.npz")
