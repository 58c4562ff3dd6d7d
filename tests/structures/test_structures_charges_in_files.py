"""Charges of files whose reader in ASE drops them: read by us, or refused with the name of the file."""

import ase.db
import ase.io
import pytest
from ase import Atoms

from hamlearn.config import QMSettings
from hamlearn.errors import StructureError
from hamlearn.structures import molecule, read_structures
from hamlearn.structures.charges import ElectronicState, electronic_state
from hamlearn.structures.charges_in_files import add_stated

WATER = "O 0.0 0.0 0.1173\nH 0.0 0.7572 -0.4692\nH 0.0 -0.7572 -0.4692\n"
ROWS = [line.split() for line in WATER.splitlines()]


def molfile(codes=(0, 0, 0), lines=(), data=""):
    atoms = [
        f"{float(x):10.4f}{float(y):10.4f}{float(z):10.4f} {s:3} 0{c:3}"
        for (s, x, y, z), c in zip(ROWS, codes, strict=True)
    ]
    head = ["water", "  test", "", "  3  2  0  0  0  0  0  0  0  0999 V2000"]
    return "\n".join([*head, *atoms, "  1  2  1  0", "  1  3  1  0", *lines, "M  END", data]) + "\n"


def pdb(charges=("", "", "")):
    rows = [
        f"HETATM{k:5d}  {s}   MOL     1    {float(x):8.3f}{float(y):8.3f}{float(z):8.3f}  1.00  0.00{s:>12}{c:2}"
        for k, ((s, x, y, z), c) in enumerate(zip(ROWS, charges, strict=True), start=1)
    ]
    return "\n".join([*rows, "END"]) + "\n"


COORD = "$coord\n 0 0 0.2 o\n 0 1.4 -0.9 h\n 0 -1.4 -0.9 h\n"

USED = {
    "a.com": (f"# hf/sto-3g\n\nw\n\n-2 1\n{WATER}\n", -2),
    "c.gjf": (f"# hf/sto-3g\n\nw\n\n2 1 2 1 0 1\n{WATER}\n", 2),
    "a.mol": (molfile(lines=["M  CHG  1   1   2"]), 2),
    "b.mol": (molfile(codes=(2, 0, 0)), 2),
    "c.mol": (molfile(codes=(1, 0, 0), lines=["M  CHG  2   1   1   2   1"]), 2),
    "a.sdf": (molfile(lines=["M  CHG  2   1   4   2  -2"]) + "$$$$\n", 2),
    "b.sdf": (molfile(data="> <PUBCHEM_TOTAL_CHARGE>\n-2\n") + "$$$$\n", -2),
    "a.pdb": (pdb(("1-", "1-", "")), -2),
    "coord": (f"{COORD}$eht charge=2 unpaired=0\n$end\n", 2),
    "d.mol": (molfile(), 0),
    "b.pdb": (pdb(), 0),
    "plain.xyz": (f"3\n0 1\n{WATER}", 0),
}


@pytest.mark.parametrize("name", USED)
def test_the_charge_of_a_file_is_used(tmp_path, name):
    text, charge = USED[name]
    (tmp_path / name).write_text(text)
    (atoms,) = read_structures(tmp_path / name)
    assert atoms.get_chemical_formula() == "H2O"
    assert electronic_state(atoms, QMSettings()) == ElectronicState(charge, 1)


MULTIPLICITIES = {
    "o.com": (f"# hf/sto-3g\n\nw\n\n0 3\n{WATER}\n", 3),
    "o.mol": (molfile(lines=["M  RAD  1   1   3"]), 3),
    "o2.mol": (molfile(codes=(4, 0, 0)), 2),
    "coord": (f"{COORD}$eht charge=0 unpaired=2\n$end\n", 3),
}


@pytest.mark.parametrize("name", MULTIPLICITIES)
def test_the_multiplicity_of_a_file_is_not_lost(tmp_path, name):
    text, multiplicity = MULTIPLICITIES[name]
    (tmp_path / name).write_text(text)
    (atoms,) = read_structures(tmp_path / name)
    with pytest.raises(StructureError, match=f"{multiplicity - 1} unpaired|multiplicity {multiplicity} |an odd number"):
        electronic_state(atoms, QMSettings())
    assert atoms.info.get("multiplicity", atoms.info.get("nopen", 0) + 1) == multiplicity


REFUSED = {
    "two.mol": (molfile(lines=["M  RAD  2   1   2   2   2"]), "two.mol: 2 radical centres"),
    "bad.mol": (molfile(lines=["M  CHG  1   1   x"]), "bad.mol: a charge .* 'x'; expected a whole number"),
    "bad.pdb": (pdb(("xx", "", "")), r"bad.pdb: columns 79-80 of an atom hold 'xx'"),
    "comment.xyz": (f"3\n-1 2\n{WATER}", "may be its charge and multiplicity; write charge=-1 multiplicity=2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_understood_is_refused_with_the_file(tmp_path, name):
    text, reason = REFUSED[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(StructureError, match=reason):
        read_structures(tmp_path / name)


def test_ase_objects_and_databases(tmp_path):
    water = molecule("water")
    water.set_initial_charges([2.0, 0.0, 0.0])
    for name in ("w.traj", "w.json", "w.db", "w.extxyz"):
        if name != "w.db":
            ase.io.write(tmp_path / name, water)
        else:
            ase.db.connect(tmp_path / name).write(Atoms("OH2", water.positions), total_charge=2)
        (atoms,) = read_structures(tmp_path / name)
        assert electronic_state(atoms, QMSettings()) == ElectronicState(2, 1), name


PRINTED = {
    "gaussian-out": " Charge = -1 Multiplicity = 2\n ...\n Charge = -1 Multiplicity = 2\n",
    "orca-output": " Total Charge    Charge    ....   -1\n Multiplicity    Mult    ....    2\n",
    "nwchem-out": "          Charge           :    -1\n          Spin multiplicity:     2\n",
    "gamess-us-out": " CHARGE OF MOLECULE                          =   -1\n SPIN MULTIPLICITY       =    2\n",
    "cjson": '{"properties": {"totalCharge": -1, "totalSpinMultiplicity": 2}}',
}


@pytest.mark.parametrize("kind", PRINTED)
def test_outputs_of_programs(tmp_path, kind):
    (tmp_path / "out").write_text(PRINTED[kind])
    frames = [molecule("water"), molecule("water")]
    add_stated(tmp_path / "out", kind, frames)
    assert [(atoms.info["charge"], atoms.info["multiplicity"]) for atoms in frames] == [(-1, 2)] * 2
    (tmp_path / "out").write_text(PRINTED[kind].replace("-1", "0") + PRINTED[kind])
    with pytest.raises(StructureError, match="several values of charge"):
        add_stated(tmp_path / "out", kind, frames)


def test_records_belong_to_structures_in_order(tmp_path):
    (tmp_path / "two.sdf").write_text("$$$$\n".join([molfile(), molfile(lines=["M  CHG  1   1   2"])]))
    frames = [molecule("water"), molecule("water")]
    add_stated(tmp_path / "two.sdf", "sdf", frames)
    assert ["charge" in atoms.info for atoms in frames] == [False, True]
    with pytest.raises(StructureError, match="of 2 records cannot be told to the 1 structures"):
        add_stated(tmp_path / "two.sdf", "sdf", frames[:1])


def test_every_job_of_a_gaussian_input_has_its_own_charge(tmp_path):
    """With a byte order mark as well; one that takes its geometry from a checkpoint has none."""
    job = "# hf/sto-3g\n\ntitle\n\n{} {}\nO 0.0 0.0 0.0\nH 0.0 0.0 0.96\n\n"
    path = tmp_path / "links.com"
    jobs = [job.format(-1, 1), "# hf geom=check\n\n", job.format(0, 2)]
    path.write_text("--Link1--\n".join(jobs), encoding="utf-8-sig")
    found = read_structures(path)
    assert [(a.info["charge"], a.info["multiplicity"]) for a in found] == [(-1, 1), (0, 2)]
