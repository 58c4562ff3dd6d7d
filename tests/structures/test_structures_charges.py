"""Charge and multiplicity: used under every spelling, refused where they are no numbers, contradict or may vary."""

import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import QMSettings
from hamlearn.errors import StructureError
from hamlearn.structures import check_structures, permute, read_structures
from hamlearn.structures.charges import ElectronicState, electronic_state, of_molecule
from hamlearn.structures.checks import common_state

RHF = QMSettings()
AMMONIUM = Atoms("NH4", [[0, 0, 0], [0.6, 0.6, 0.6], [-0.6, -0.6, 0.6], [-0.6, 0.6, -0.6], [0.6, -0.6, -0.6]])


def ion(**info):
    atoms = AMMONIUM.copy()
    atoms.info.update(info)
    return atoms


def with_array(name, values, **info):
    atoms = ion(**info)
    atoms.set_array(name, np.array(values))
    return atoms


@pytest.mark.parametrize("key", ["charge", "Charge", "CHARGE", "total_charge", "totalCharge", "net charge", "q", "Q"])
@pytest.mark.parametrize(
    "value", [1, 1.0, "1", "+1", "1+", "1.0", np.int64(1), np.float64(1), np.array(1), np.array([1])]
)
def test_a_charge_is_used_under_every_name_and_in_every_form(key, value):
    assert electronic_state(ion(**{key: value}), RHF) == ElectronicState(1, 1)
    check_structures([ion(**{key: value})])


def test_negative_charges_as_text():
    water = Atoms("OH2")
    for text in ("-2", "2-", "-2.0"):
        water.info["charge"] = text
        assert electronic_state(water, RHF).charge == -2


@pytest.mark.parametrize("name", ["initial_charges", "charges", "formal_charges", "charge", "q", "partial_charges"])
def test_charges_of_atoms_add_up(name):
    assert electronic_state(with_array(name, [-0.4, 0.36, 0.35, 0.35, 0.33]), RHF).charge == 1
    check_structures([with_array(name, [-0.4, 0.36, 0.35, 0.35, 0.33], charge=1)])
    state = electronic_state(permute(with_array(name, [-0.4, 0.36, 0.35, 0.35, 0.33]), [4, 0, 1, 2, 3]), RHF)
    assert state.charge == 1


def test_nuclear_charges_say_nothing():
    assert electronic_state(with_array("charges", [7, 1, 1, 1, 1], charge=1), RHF).charge == 1


@pytest.mark.parametrize(
    ("info", "multiplicity"),
    [
        ({"multiplicity": 1}, 1),
        ({"Multiplicity": "1"}, 1),
        ({"mult": 1}, 1),
        ({"2S+1": 1}, 1),
        ({"uhf": 0}, 1),
        ({"spin": 0}, 1),
        ({"spin": 1, "multiplicity": 1}, 1),
        ({"magmom": 0.003}, 1),
    ],
)
def test_a_singlet_is_one_under_every_name(info, multiplicity):
    assert electronic_state(ion(charge=1, **info), RHF) == ElectronicState(1, multiplicity)


def test_settings_count_and_agree():
    assert electronic_state(AMMONIUM, QMSettings(charge=1)) == ElectronicState(1, 1)
    assert electronic_state(ion(charge=1), QMSettings(charge=1)) == ElectronicState(1, 1)
    assert electronic_state(ion(charge=1, spin=1), QMSettings(multiplicity=1)) == ElectronicState(1, 1)
    own = of_molecule(RHF, ion(charge="1+"))
    assert (own.charge, own.multiplicity, own.basis) == (1, 1, RHF.basis)


REFUSED = {
    "settings": (ion(charge=1), QMSettings(charge=-1), "qm.charge -1 contradicts charge 1"),
    "two names": (ion(charge=1, total_charge=0), RHF, "charge 1 contradicts total_charge 0"),
    "an array of zeros": (
        with_array("initial_charges", [0.0] * 5, charge=1),
        RHF,
        r"charge 1 contradicts arrays\['initial_charges'\], which adds up to 0",
    ),
    "fraction": (ion(charge=0.9), RHF, "charge 0.9: expected a whole number"),
    "fractions of atoms": (with_array("initial_charges", [0.1] * 5), RHF, "adds up to 0.5, must be .* a whole number"),
    "NaN": (ion(charge=np.nan), RHF, "charge nan: expected a whole number"),
    "truth": (ion(charge=True), RHF, "charge True: expected a whole number"),
    "word": (ion(charge="cation"), RHF, "charge cation: expected a whole number"),
    "list": (ion(charge=[1, 0]), RHF, r"charge \[1, 0\]: expected a whole number"),
    "both signs": (ion(charge="+1-"), RHF, "expected a whole number"),
    "unknown name": (ion(charge=1, ion_charge_au=2), RHF, "ion_charge_au 2 looks like a charge or spin"),
    "two in one": (ion(charge=1, charge_mult="1 1"), RHF, "charge_mult 1 1 may be charge and multiplicity"),
    "two in a list": (ion(charge=1, charge_spin=np.array([1, 1])), RHF, "may be charge and multiplicity"),
    "unknown array": (with_array("esp_charges", [0.5] * 4 + [0]), RHF, "looks like a charge"),
    "nothing left": (ion(charge=11), RHF, "charge 11 leaves 0 electrons"),
    "odd": (AMMONIUM, RHF, "11 electrons, an odd number; method RHF takes only closed shells"),
    "impossible": (
        ion(charge=1, multiplicity=2),
        RHF,
        r"multiplicity 2 is impossible with 10 electrons with charge \+1",
    ),
    "no multiplicity": (ion(charge=1, multiplicity=0), RHF, "no number of unpaired electrons"),
    "triplet": (ion(charge=1, multiplicity=3), RHF, "multiplicity 3: 2 unpaired electrons; method RHF"),
    "moments": (with_array("initial_magmoms", [2.0, 0, 0, 0, 0], charge=1), RHF, "2 unpaired electrons; method RHF"),
    "cancelling moments": (with_array("magmoms", [1.0, -1, 0, 0, 0], charge=1), RHF, "broken symmetry"),
    "half a moment": (ion(charge=1, magmom=0.4), RHF, "no number of unpaired electrons"),
    "spin": (ion(charge=1, spin=1), RHF, r"spin 1 may be .*\(multiplicity 1 or 3\)"),
    "vectors": (with_array("magmoms", np.eye(5, 3), charge=1), RHF, "one number for each atom"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_is_refused(kind):
    atoms, settings, reason = REFUSED[kind]
    with pytest.raises(StructureError, match=reason):
        electronic_state(atoms, settings)
    with pytest.raises(StructureError, match=f"ions.xyz: 1 of 2 .*: 1\n(.|\n)*{reason}"):
        check_structures([ion(charge=1) if settings.charge is None else ion(), atoms], "ions.xyz", qm=settings)


def test_other_keys_are_left_alone():
    harmless = ion(charge=1, charge_model="esp", spin_polarised=False, energy=-56.0, n_charges=None)
    assert electronic_state(harmless, RHF) == ElectronicState(1, 1)


def test_one_model_one_state():
    assert common_state([ion(charge=1), ion(charge="1")], RHF) == ElectronicState(1, 1)
    with pytest.raises(
        StructureError, match=r"set.xyz: several charges .* charge 1, multiplicity 1: 0-1; charge -1, .*: 2"
    ):
        common_state([ion(charge=1), ion(charge=1), ion(charge=-1)], RHF, "set.xyz")


def test_extended_xyz_brings_them(tmp_path):
    rows = "\n".join(f"{s} {x} {y} {z} 0.2" for s, (x, y, z) in zip("NHHHH", AMMONIUM.positions, strict=True))
    file = tmp_path / "ions.extxyz"
    for comment in ("Total_Charge=1 Multiplicity=1", "charge=+1", 'charge="1+"', "initial_charges"):
        columns = "Properties=species:S:1:pos:R:3:" + ("initial_charges:R:1" if "=" not in comment else "weight:R:1")
        file.write_text(f"5\n{columns} {comment if '=' in comment else ''}\n{rows}\n")
        (atoms,) = read_structures(file)
        assert electronic_state(atoms, RHF) == ElectronicState(1, 1), comment
