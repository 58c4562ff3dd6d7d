"""Scripts of workflows/symmetry with molecules of one's own."""

import csv
import runpy
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from hamlearn import molecule

SCRIPTS = Path(__file__).parents[2] / "workflows" / "symmetry"


@pytest.fixture
def script(monkeypatch):
    """Runs a script with arguments."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.syspath_prepend(str(SCRIPTS))
        runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")

    return run


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_walsh_diagrams_of_a_path_in_a_file(script, tmp_path):
    """Stretched carbon dioxide: sigma and pi orbitals, followed by name."""
    path = [Atoms("CO2", [(0, 0, 0), (0, 0, d), (0, 0, -d)]) for d in (1.1, 1.16, 1.22)]
    ase.io.write(tmp_path / "stretch.xyz", path)
    script("walsh", tmp_path / "out", "--path", tmp_path / "stretch.xyz", "--window", -45, 30)
    rows = table(tmp_path / "out" / "walsh_stretch.csv")
    assert list(rows[0]) == ["irrep", "0", "1", "2"]
    assert {row["irrep"] for row in rows} == {"Sigma_g+", "Sigma_u+", "Pi_g", "Pi_u"}
    assert (tmp_path / "out" / "walsh.png").stat().st_size > 10_000


def test_vibrations_of_any_molecule_move_its_levels(script, tmp_path, capsys):
    """Single levels of water move linearly along a1, and by no first order along b2."""
    script("jahn_teller", tmp_path, "--molecule", "water", "--modes", "A1", "B2")
    rows = {row["mode"]: float(row["single levels"]) for row in table(tmp_path / "jahn_teller_summary.csv")}
    assert rows["A1"] > 0.1 and rows["B2"] < 1e-4
    assert "Gamma_vib = A1 A1 B2" in capsys.readouterr().out


def test_a_file_is_made_symmetric_and_other_modes_are_refused(script, tmp_path):
    off = molecule("water")
    off.positions += np.random.default_rng(0).normal(scale=1e-3, size=(3, 3))
    ase.io.write(tmp_path / "off.xyz", off)
    with pytest.raises(SystemExit, match="no vibration is E2g; give --modes among A1, B2"):
        script("jahn_teller", tmp_path / "out", "--molecule", tmp_path / "off.xyz", "--modes", "E2g")
