"""The scripts of the learning curves and of larger molecules, on small sets of the same form."""

import csv
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest

from hamlearn.config import FeatureSettings, QMSettings, WignerSettings

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflows" / "hamiltonian"
SMALL = {
    "wigner": WignerSettings(max_l=2, max_nu_centre=2, max_nu_pair=1),
    "features": FeatureSettings(max_l=2),
    "qm": QMSettings(basis="6-31g"),
}


@pytest.fixture
def script(monkeypatch, tmp_path):
    """Return a function that loads a script and runs it with small settings and a data set of our own."""
    (tmp_path / "data").mkdir()
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setenv("HAMLEARN_BENCHMARK_DATA", str(tmp_path / "data"))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_learning_curve(script, monkeypatch, tmp_path, capsys):
    study, module, out = script("study"), script("learning_curves"), tmp_path / "out"
    own = {"active": {"O": 99, "H": 6, "H-H": 5, "O-H": 8}, "active_by": "structures"}
    small = replace(study.SETS["water"], train=20, test=10, full=8, **own, **SMALL)
    monkeypatch.setitem(study.SETS, "water", small)
    (tmp_path / "data" / small.file).write_bytes((ROOT / "data" / "water.extxyz").read_bytes())
    arguments = ["water", out, "--train", 8, 16, "--active", 10, "--target", "sto-3g", "--executor", "serial"]
    monkeypatch.setattr(sys, "argv", ["learning_curves", *map(str, arguments)])
    module.main()
    table = rows(out / "water.csv")
    models = ("wigner", "ridge", "bond_frame", "process")
    assert [(row["model"], row["n_train"]) for row in table] == [(name, n) for name in models for n in ("8", "16")]
    assert all(0 < float(row["eigenvalue_rmse_mev"]) < 100 for row in table)
    with np.load(out / "water_sto-3g_wigner_16_0_10_10.npz") as arrays:
        assert arrays["gap_errors_ev"].shape == arrays["gap_stds_ev"].shape == (10,)
    assert {path.name for path in out.glob("*.png")} == {
        "water_sto-3g_learning_curve.png",
        "water_sto-3g_error_bars.png",
    }
    capsys.readouterr()
    module.main()  # nothing is fitted again
    assert "structures: " not in capsys.readouterr().out
    assert rows(out / "water.csv") == table
    monkeypatch.setattr(sys, "argv", [each for each in sys.argv if each not in ("--active", "10")])
    module.main()  # with the active set that serves the set best
    assert [(row["n_train"], row["active"]) for row in rows(out / "water.csv")[8:]] == [("16", "structures-118")]


def test_larger_molecules(script, monkeypatch, tmp_path):
    study = script("study")
    module, out = script("size_extrapolation"), tmp_path / "out"
    small = replace(study.SETS["qm7"], train=4, test=12, **SMALL | {"qm": QMSettings(basis="sto-3g")})
    monkeypatch.setitem(study.SETS, "qm7", small)
    monkeypatch.setattr(module, "SIZES", (2,))
    molecules = ase.io.read(ROOT / "data" / "chno.extxyz", ":")
    chosen = [a for a in molecules if str(a.symbols) in ("OCH4", "COH4", "CNH5", "NH3", "CH4", "C2H6", "C2OH6")]
    ase.io.write(tmp_path / "data" / small.file, chosen[::6])
    targets = ["minao", "minao-valence"]
    arguments = [str(out), "--target", *targets, "--executor", "serial", "--six", "9"]
    monkeypatch.setattr(sys, "argv", ["size_extrapolation", *arguments])
    module.main()
    table = rows(out / "qm7_size.csv")
    assert [(row["target"], row["largest"]) for row in table] == [(target, "2") for target in targets]
    assert all(float(row["gap_mean_std_mev"]) > 0 for row in table)
    assert all((out / f"qm7_size_{target}.png").exists() for target in targets)
    assert not list(out.rglob("kernels/*/*"))


def test_active_sets(script, monkeypatch, tmp_path):
    study = script("study")
    module, out = script("active_sets"), tmp_path / "out"
    small = replace(study.SETS["water"], train=20, test=10, **SMALL)
    monkeypatch.setitem(study.SETS, "water", small)
    (tmp_path / "data" / small.file).write_bytes((ROOT / "data" / "water.extxyz").read_bytes())
    monkeypatch.setattr(
        sys, "argv", ["active_sets", "water", str(out), "--samples", "H-O", "--train", "18", "--test", "6"]
    )
    module.main()
    table = rows(out / "active_sets.csv")
    assert [(row["choice"], row["active"]) for row in table] == [
        *((choice, n) for n in ("6", "12") for choice in ("random", "structures", "farthest")), ("all", "36"),
    ]  # fmt: skip
    assert all(0 < float(row["rmse_mev"]) < 1000 and float(row["seconds"]) >= 0 for row in table)
    module.main()  # nothing is computed again
    assert rows(out / "active_sets.csv") == table
    monkeypatch.setattr(sys, "argv", [*sys.argv[:4], "C", *sys.argv[5:]])
    with pytest.raises(SystemExit, match=r"no samples C; expected some of .*H-O"):
        module.main()


def test_failed_calculations_are_left_out(script, monkeypatch, tmp_path, capsys):
    study = script("study")
    water = ase.io.read(ROOT / "data" / "water.extxyz", ":3")
    monkeypatch.setattr(study, "run_campaign", lambda *a, **k: SimpleNamespace(failures={1: "did not converge"}))
    _, usable = study.calculate(study.SETS["water"], water, tmp_path)
    assert usable.tolist() == [0, 2]
    assert "structure 1 is left out: did not converge" in capsys.readouterr().out


def test_without_the_data_there_is_one_line(script, monkeypatch, tmp_path):
    script("study")
    module = script("learning_curves")
    monkeypatch.setattr(sys, "argv", ["learning_curves", "ethanol", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="expected HAMLEARN_BENCHMARK_DATA to name the folder"):
        module.main()


def test_baselines(script, monkeypatch, tmp_path, capsys):
    study = script("study")
    module, out = script("baselines"), tmp_path / "out"
    small = replace(study.SETS["water"], train=20, test=4, **SMALL | {"qm": QMSettings()})
    monkeypatch.setitem(study.SETS, "water", small)
    (tmp_path / "data" / small.file).write_bytes((ROOT / "data" / "water.extxyz").read_bytes())
    monkeypatch.setattr(sys, "argv", ["baselines", "water", str(out), "--timed", "1"])
    module.main()
    table = rows(out / "baselines.csv")
    assert [(row["guess"], row["structures"]) for row in table] == [("minao", "4"), ("sto-3g", "4")]
    scatter, left = ([float(row[key]) for row in table] for key in ("gap_std_ev", "delta_rms_mev"))
    assert 0 < scatter[1] < scatter[0] < 1 and 0 < left[1] < left[0]
    assert all(float(row["cost"]) > 0 and row["lumo_not_kept"] == "0" for row in table)
    capsys.readouterr()
    module.main()
    assert "gap_std_ev" not in capsys.readouterr().out
