"""``hamlearn symmetry``: table, JSON and diagram, from a method, from a model, and what is refused."""

import json
import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule as ase_molecule
from ase.io import write
from typer.testing import CliRunner

from hamlearn import FeatureSettings, HamiltonianModel, QMSettings, RidgeSettings, Target, TargetSettings
from hamlearn.cli import app
from hamlearn.errors import ConfigError
from hamlearn.structures import MOLECULES, distort, molecule
from hamlearn.targets import target_orbitals
from hamlearn.workflow.group_tables import usual_formula
from hamlearn.workflow.symmetry import parse_method, symmetry_report

KEYS = {"point_group", "order", "tolerance_angstrom", "levels", "max_violation_hartree"}
KEYS |= {"classes", "characters", "operations"}


def run(*arguments):
    return CliRunner().invoke(app, ["symmetry", *map(str, arguments)])


ORDERS = dict(zip(MOLECULES, (4, 6, 24, 8, 12, 8, 24, None, None, 120), strict=True))
"""Number of operations; the groups of linear molecules have infinitely many."""


@pytest.mark.parametrize("name", MOLECULES)
def test_every_molecule_of_the_library(name, tmp_path):
    write(tmp_path / "one.xyz", molecule(name))
    result = run(tmp_path / "one.xyz", "-o", tmp_path / "one.json")
    assert result.exit_code == 0, result.output
    assert f"point group         {MOLECULES[name]}" in result.output
    told = json.loads((tmp_path / "one.json").read_text())
    assert set(told) == KEYS and told["point_group"] == MOLECULES[name]
    assert told["levels"] == [] and told["max_violation_hartree"] is None
    assert told["order"] == ORDERS[name]


@pytest.mark.parametrize(
    ("name", "required"),
    [("water", {1: 7}), ("ammonia", {1: 4, 2: 2}), ("methane", {1: 3, 3: 2}), ("acetylene", {1: 8, 2: 2})],
)
def test_computed_levels(name, required, tmp_path):
    result = run(name, "--qm", "RHF/STO-3G", "-o", tmp_path / "a.json")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "a.png").stat().st_size > 1000
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["max_violation_hartree"] < 1e-8
    degeneracies = [level["degeneracy"] for level in told["levels"]]
    assert {d: degeneracies.count(d) for d in set(degeneracies)} == required
    assert sum(level["occupation"] for level in told["levels"]) == molecule(name).numbers.sum()
    assert all(set(level) == {"energy_ev", "irrep", "degeneracy", "occupation"} for level in told["levels"])
    assert [level["energy_ev"] for level in told["levels"]] == sorted(level["energy_ev"] for level in told["levels"])


def test_symmetrised_before_anything_is_computed():
    atoms = distort(molecule("methane"), 0.003, 0)
    as_given, averaged = (symmetry_report(atoms, qm="RHF/STO-3G", symmetrise=choice) for choice in (False, True))
    assert as_given.group.name == averaged.group.name == "Td"
    assert averaged.max_violation_hartree < 1e-8 < 1e-4 < as_given.max_violation_hartree
    assert averaged.degeneracies == {1: (3, 3), 3: (2, 2)}
    assert as_given.degeneracies == {1: (3, 3), 3: (2, 0)}


def test_levels_of_a_saved_model(tmp_path):
    """A model of one random matrix predicts a symmetric one."""
    atoms = molecule("ammonia")
    orbitals = target_orbitals(TargetSettings(), "def2-SVP", [1, 7])
    matrix = np.random.default_rng(0).random((7, 7))
    target = Target(atoms.numbers, matrix + matrix.T, None, orbitals, 4)
    features = FeatureSettings(max_l=2, max_n=2)
    HamiltonianModel(model=RidgeSettings(features=features)).fit([atoms], [target]).save(tmp_path / "model")
    result = run("ammonia", "--model", tmp_path / "model", "-o", tmp_path / "a.json")
    assert result.exit_code == 0, result.output
    assert "3a1 + 2e" in result.output and "1-fold 3 of 3; 2-fold 2 of 2" in result.output
    told = json.loads((tmp_path / "a.json").read_text())
    assert sorted(level["irrep"] for level in told["levels"]) == ["A1"] * 3 + ["E"] * 2
    assert told["max_violation_hartree"] < 1e-10


def test_window_of_levels():
    shown = run("ammonia", "--qm", "RHF/STO-3G", "--levels", "3:5").output
    assert [line.split()[0] for line in shown.splitlines()[-2:]] == [
        "e",
        "a1",
    ]  # as in the diagram; the file has the names of representations
    cut = run("ammonia", "--qm", "RHF/STO-3G", "--levels", "1:3")
    assert cut.exit_code == 2 and "cuts the 2-fold level E" in cut.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("water", "--group", "C3v"), "declared C3v, but its geometry is C2v"),
        (("water", "--tolerance", "-1"), "expected a positive number"),
        (("water", "--model", "nowhere", "--qm", "RHF/STO-3G"), "give one of them"),
        (("water", "--qm", "RHF"), "expected METHOD/BASIS"),
        (("water", "--qm", "b3lyp/STO-3G"), "b3lypg (VWN3"),
        (("water", "--qm", "RHF/nobasis"), "not one PySCF has"),
        (("water", "--levels", "1-3"), "expected FIRST:LAST"),
        (("water", "-o", "water.txt"), "ends in .json"),
        (("water", "--model", "nowhere"), "nowhere"),
        (("watre",), "no file watre, and the library has no molecule 'watre'; did you mean 'water'?; it has water,"),
        (("formaldehyde",), ", ".join(MOLECULES)),
        (("formaldehyde.xyz",), "no such file"),
    ],
)
def test_bad_input(arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2 and words in result.output, result.output


def test_one_structure_of_many(tmp_path):
    file = tmp_path / "two.xyz"
    write(file, [ase_molecule("NH3"), ase_molecule("CH4")])
    refused = run(file)
    assert refused.exit_code == 2 and "2 structures; choose one with --index" in refused.output
    assert "Td (24 operations)" in run(file, "--index", 1).output
    assert run(file, "--index", 2).exit_code == 2


def test_method():
    assert parse_method("rhf/def2-SVP") == QMSettings(basis="def2-SVP")
    assert parse_method("pbe/STO-3G") == QMSettings(method="RKS", xc="pbe", basis="STO-3G")
    with pytest.raises(ConfigError, match="METHOD/BASIS"):
        parse_method("RKS/STO-3G")


def test_classes_and_operations_are_those_of_the_textbooks(tmp_path):
    result = run("benzene", "-o", tmp_path / "b.json")
    assert "E, 2 C6, 2 C3, C2, 3 C2', 3 C2'', i, 2 S6, 2 S3, sigma_h, 3 sigma_v, 3 sigma_d" in result.output
    told = json.loads((tmp_path / "b.json").read_text())
    benzene = molecule("benzene")
    sizes = [found["operations"] for found in told["classes"]]
    names = [found["name"] for found in told["classes"]]
    for one in told["characters"].values():
        for other in told["characters"].values():
            product = np.dot(sizes, np.multiply(one, other))
            assert product == pytest.approx(24 if one is other else 0, abs=1e-9)
    assert told["characters"]["B1g"][names.index("C2'")] == 1 and told["characters"]["B1g"][names.index("C2''")] == -1
    assert len(told["operations"]) == 24
    for operation in told["operations"]:
        turned = benzene.positions @ np.transpose(operation["rotation"])
        np.testing.assert_allclose(turned, benzene.positions[operation["permutation"]], atol=1e-9)


def test_a_geometry_slightly_off_is_told_what_it_nearly_is(tmp_path):
    ammonia = molecule("ammonia")
    ammonia.positions[1] *= 1.1
    write(tmp_path / "off.xyz", ammonia)
    output = run(tmp_path / "off.xyz").output
    assert "point group         Cs" in output
    found = re.search(r"nearly +C3v within (\S+) Å \(--tolerance (\S+)\)", output)
    assert found and 0.02 < float(found[1]) < 0.1
    assert "point group         C3v" in run(tmp_path / "off.xyz", "--tolerance", found[2]).output
    assert "nearly" not in run("water").output and "nearly" not in run("C60").output


@pytest.mark.parametrize("name", ["Benzene", "BENZENE", "c60", "Carbon dioxide", "carbon-dioxide"])
def test_names_of_the_library_in_any_spelling(name):
    known = "C60" if name == "c60" else name.lower().replace(" ", "_").replace("-", "_")
    assert f"point group         {MOLECULES[known]}" in run(name).output


def test_the_library_is_listed():
    listed = " ".join(run("--help").output.split())
    assert f"one of {', '.join(MOLECULES)}" in listed
    refused = run("bezene")
    assert refused.exit_code == 2 and "did you mean 'benzene'" in str(refused.output)


@pytest.mark.parametrize(
    ("formula", "usual"),
    [("NH3", "NH3"), ("OH2", "H2O"), ("CH4", "CH4"), ("SiH4", "SiH4"), ("H2", "H2"), ("FH", "HF"), ("B2H6", "B2H6")],
)
def test_formulas_as_chemists_write_them(formula, usual):
    assert usual_formula(Atoms(formula).numbers) == usual
