"""Symmetry of open shells: irreps of both spins, and words where a restricted method cannot describe the molecule."""

import json

import pytest
from ase import Atoms
from typer.testing import CliRunner

from hamlearn.config import QMSettings
from hamlearn.errors import ConfigError, StructureError
from hamlearn.workflow.method_names import parse_method
from hamlearn.workflow.symmetry import printed_report, symmetry_report, write_symmetry


def oxygen(**info):
    return Atoms("O2", [[0, 0, -0.605], [0, 0, 0.605]], info=info)


def test_both_spins_of_oxygen(tmp_path):
    report = symmetry_report(oxygen(multiplicity=3), qm="UHF/STO-3G")
    filled = {(m.spin, m.irrep): m.occupation for m in report.levels if m.irrep == "Pi_g"}
    assert filled == {("alpha", "Pi_g"): 2, ("beta", "Pi_g"): 0}
    assert sum(m.occupation for m in report.levels) == 16
    assert report.degeneracies[2] == (4, 4)
    facts, rows = printed_report(report, (8, 9))
    assert rows[0][0] == "spin" and {row[0] for row in rows[1:]} == {"alpha", "beta"}
    assert "partly filled" not in dict(facts)
    written = write_symmetry(report, tmp_path / "o2.json")
    assert [path.name for path in written] == ["o2.json", "o2_alpha.png", "o2_beta.png"]
    assert {level["spin"] for level in json.loads(written[0].read_text())["levels"]} == {"alpha", "beta"}


def test_closed_shells_say_nothing_of_spins():
    report = symmetry_report("water", qm="RHF/STO-3G")
    assert all("spin" not in level for level in report.to_json()["levels"])
    assert printed_report(report)[1][0][0] == "irrep"


def test_an_open_shell_is_told_to_restricted_methods():
    with pytest.raises(StructureError, match=r"Pi_g holds 2 of 4 electrons: an open shell.*UHF/STO-3G.*such as 3"):
        symmetry_report(oxygen(), qm="RHF/STO-3G")
    with pytest.raises(StructureError, match=r"multiplicity 3: 2 unpaired electrons; method RHF .*: use UHF"):
        symmetry_report(oxygen(multiplicity=3), qm="RHF/STO-3G")
    with pytest.raises(StructureError, match="15 electrons with charge"):
        symmetry_report(oxygen(), qm="RHF/STO-3G", charge=1)


def test_charge_and_multiplicity_belong_to_a_calculation():
    with pytest.raises(ConfigError, match="multiplicity belong to a calculation; give a method with --qm"):
        symmetry_report(oxygen(), multiplicity=3)
    with pytest.raises(StructureError, match="contradicts"):
        symmetry_report(oxygen(multiplicity=3), qm="UHF/STO-3G", multiplicity=1)


def test_the_advice_works_on_the_command_line(tmp_path):
    from hamlearn.cli.shell import app

    (tmp_path / "o2.xyz").write_text("2\n\nO 0 0 0\nO 0 0 1.21\n")
    result = CliRunner().invoke(
        app, ["symmetry", str(tmp_path / "o2.xyz"), "--qm", "UHF/STO-3G", "--multiplicity", "3"]
    )
    assert result.exit_code == 0
    assert "alpha" in result.output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UHF/sto-3g", {"method": "UHF", "xc": None}),
        ("uhf/sto-3g", {"method": "UHF", "xc": None}),
        ("upbe/sto-3g", {"method": "UKS", "xc": "pbe"}),
        ("UB3LYPG/sto-3g", {"method": "UKS", "xc": "B3LYPG"}),
        ("pbe/sto-3g", {"method": "RKS", "xc": "pbe"}),
    ],
)
def test_names_of_unrestricted_methods(text, expected):
    assert parse_method(text) == QMSettings(basis="sto-3g", **expected)
