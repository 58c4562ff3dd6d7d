"""The scripts of the published sets, on small sets of the same form."""

import csv
import runpy
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflows" / "property"


@pytest.fixture
def run(monkeypatch):
    """Run a script as the command line does, with the data sets in a folder."""

    def main(folder, name, *arguments):
        monkeypatch.syspath_prepend(SCRIPTS)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        monkeypatch.setenv("HAMLEARN_BENCHMARK_DATA", str(folder))
        runpy.run_path(str(SCRIPTS / f"{name}.py"), run_name="__main__")

    return main


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("name", "which", "file"), [
    ("published_sets", "qm9_dipole", "qm9_orca_10000.extxyz"), ("rmd17", "ethanol", "rmd17/ethanol.npz"),
])  # fmt: skip
def test_a_wrong_folder_ends_with_one_line(tmp_path, run, name, which, file):
    for folder, message in (("", "HAMLEARN_BENCHMARK_DATA is not set"), (tmp_path, f"no file {tmp_path / file}")):
        with pytest.raises(SystemExit) as end:
            run(folder, name, which, tmp_path / "out")
        assert message in end.value.code
        assert "\n" not in end.value.code


def test_learning_curve_of_a_published_set(tmp_path, run, capsys):
    (tmp_path / "water_1000.extxyz").write_bytes((ROOT / "data" / "water_polarizability.extxyz").read_bytes())
    sizes = ("--sizes", 10, 25, "--seeds", 1, "--test", 25)
    run(tmp_path, "published_sets", "water_polarizability_2", tmp_path / "out", *sizes)
    small, large = rows(tmp_path / "out" / "water_polarizability_2.csv")
    assert (small["n_train"], large["n_train"]) == ("10", "25")
    assert 0 < float(large["value_mae"]) < float(large["value_rmse"]) < float(small["value_rmse"])
    assert (tmp_path / "out" / "water_polarizability_2.png").stat().st_size > 10_000
    assert f"n 25: mean RMSE {float(large['value_rmse']):.4g}" in capsys.readouterr().out


def test_energies_and_forces_in_both_bases(tmp_path, run):
    waters = ase.io.read(ROOT / "data" / "water_properties.extxyz", ":30")
    arrays = {"numbers": waters[0].numbers}
    for part, chosen in (("train", waters[:15]), ("test", waters[15:])):
        arrays[f"{part}_positions"] = np.array([atoms.positions for atoms in chosen])
        arrays[f"{part}_energy_eV"] = np.array([atoms.info["energy_ev"] for atoms in chosen])
        arrays[f"{part}_forces_eV_A"] = np.array([atoms.arrays["forces_ev_angstrom"] for atoms in chosen])
    (tmp_path / "rmd17").mkdir()
    np.savez(tmp_path / "rmd17" / "water.npz", **arrays)
    sizes = ("--derivatives", 5, "--sparse", 5, 15, "--active", 30)
    for _ in range(2):  # the second time everything is there
        run(tmp_path, "rmd17", "water", tmp_path / "out", *sizes)
    table = rows(tmp_path / "out" / "rmd17_water.csv")
    assert [(row["basis"], row["n_train"]) for row in table] == [
        ("derivatives", "5"),
        ("sparse", "5"),
        ("sparse", "15"),
    ]
    few, _, many = (float(row["force_mae_mev_angstrom"]) for row in table)
    assert 0 < many < few
