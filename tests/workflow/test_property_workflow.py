import json
import shutil
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

from hamlearn import cli
from hamlearn.config import build_config, load_config
from hamlearn.errors import ArtifactError, ConfigError, DomainError, StructureError
from hamlearn.model.loading import load_model
from hamlearn.structures import read_structures
from hamlearn.workflow import evaluate, predict, run

ROOT = Path(__file__).parents[2]
WATERS = read_structures(ROOT / "data" / "water_properties.extxyz")
KERNEL = {
    "max_nu": 2, "max_l": 2, "cutoff_angstrom": 4, "smearing_angstrom": 0.4, "smearing_growth_angstrom": None,
    "max_channels": 8, "b": 1.0,
}  # fmt: skip
ENERGY = {"kind": "property", "key": "energy_ev", "forces_key": "forces_ev_angstrom", "unit": "eV"}
TOO_SMALL = {"train": 9, "test": 9, "curve": [1, 9]}
DIPOLE = {"kind": "property", "key": "dipole_au", "l": 1}


def settings(file, **sections):
    base = {
        "structures": {"file": str(file)},
        "target": ENERGY,
        "split": {"train": 20, "test": 10, "curve": [5, 20], "repeats": 2},
    }
    kernel, merged = sections.pop("kernel", KERNEL), {**base, **sections}
    active = {"active": 10} if merged["target"] is ENERGY else {}
    return build_config({**merged, "model": {"kernel": kernel, **active}})


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("input") / "waters.extxyz"
    ase.io.write(path, WATERS[:34])
    return path


@pytest.fixture(scope="module")
def finished(file, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    return out, run(settings(file), out, echo=None)


def test_results_have_the_promised_names(finished):
    out, result = finished
    stored = json.loads((out / "results.json").read_text())
    assert stored == {"kind": "results", "format_version": 1, **result.results}
    assert (stored["n_train"], stored["n_test"], stored["failures"]) == (20, 10, {})
    for name in ("value", "force"):
        assert 0 < stored[f"{name}_mae"] <= stored[f"{name}_rmse"] < stored[f"{name}_spread"]
    assert set(stored["seconds"]) == {"fit", "predict", "curve"}
    assert [(row["n_train"], row["order"]) for row in stored["learning_curve"]] == [(5, 0), (20, 0), (5, 1), (20, 1)]
    assert stored["learning_curve"][1]["force_mae"] == pytest.approx(stored["force_mae"])
    assert stored["learning_curve"][0]["value_rmse"] > stored["value_rmse"]
    assert stored["equivariance_error"] < 1e-6
    assert set(stored["hyperparameters"]) == {"a", "b", "c0", "cv_error"}
    assert not (out / "qm").exists() and not (out / "targets").exists()


def test_errors_are_those_of_the_predictions_on_disk(finished):
    out, result = finished
    predicted = ase.io.read(out / "predictions" / "predictions.extxyz", ":")
    known = [WATERS[k] for k in np.random.default_rng(0).permutation(34)[-10:]]
    errors = [p.info["hamlearn_energy_ev"] - a.info["energy_ev"] for p, a in zip(predicted, known, strict=True)]
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(result.results["value_rmse"])
    forces = [
        p.arrays["hamlearn_forces"] - a.arrays["forces_ev_angstrom"] for p, a in zip(predicted, known, strict=True)
    ]
    assert np.mean(np.abs(forces)) == pytest.approx(result.results["force_mae"], rel=1e-5)


def test_the_report_shows_errors_curve_and_parity(finished):
    out, result = finished
    page = (out / "report.html").read_text()
    for words in ("energy_ev / eV", "forces / eV/Å", "Learning curve", "Predicted against known", "Wigner kernels"):
        assert words in page
    assert "def2-SVP" not in page and "do not trust" not in page
    assert len((out / "figures" / "parity.csv").read_text().splitlines()) == 11
    assert len((out / "figures" / "force_parity.csv").read_text().splitlines()) == 91
    assert len((out / "figures" / "learning_curve.csv").read_text().splitlines()) == 5
    assert "| energy_ev, eV |" in (out / "model" / "MODEL_CARD.md").read_text()
    assert result.report == out / "report.html"


def test_a_second_run_does_nothing_again_and_a_missing_part_is_made_again(finished, file, tmp_path):
    out, result = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert run(settings(file), out, echo=None).results == result.results
    changed = {path.name for path, t in before.items() if path.stat().st_mtime_ns != t}
    assert changed <= {".lock", "report.html"} | {path.name for path in (out / "figures").iterdir()}
    for missing in ("model", "evaluation.json", "results.json", "curve"):
        copy = shutil.copytree(out, tmp_path / missing)
        shutil.rmtree(copy / missing, ignore_errors=True)
        (copy / missing).unlink(missing_ok=True)
        again = run(settings(file), copy, until="curve", echo=None).results
        assert again["value_rmse"] == pytest.approx(result.results["value_rmse"], rel=1e-9)


def test_a_vector_without_unit_or_test_set(file, tmp_path):
    run(settings(file, target=DIPOLE), tmp_path / "dipole", echo=None)
    assert "dipole_au" in (tmp_path / "dipole" / "report.html").read_text()
    bare = settings(file, target=DIPOLE, split={"train": 6, "test": 0})
    result = run(bare, tmp_path / "bare", echo=None)
    assert "value_rmse" not in result.results
    assert "No structures were set aside" in result.report.read_text()


def test_predictions_of_a_saved_model(finished, file, tmp_path):
    predictions = predict(finished[0] / "model", file, tmp_path / "pred")
    direct = load_model(finished[0] / "model").predict(read_structures(file), forces=True)
    with np.load(tmp_path / "pred" / "properties.npz") as stored:
        assert (str(stored["kind"]), str(stored["key"]), str(stored["unit"])) == ("properties", "energy_ev", "eV")
        np.testing.assert_array_equal(stored["value"], [p.value for p in predictions])
        np.testing.assert_allclose(stored["forces"], np.concatenate([p.forces for p in direct]), atol=1e-8)
        assert stored["n_atoms"].tolist() == [3] * 34 and (stored["std"] > 0).all()
    with pytest.raises(ArtifactError, match="is not empty"):
        predict(finished[0] / "model", file, tmp_path / "pred")


def test_evaluate_agrees_with_the_run(finished, file, tmp_path):
    order = np.random.default_rng(0).permutation(34)[-10:]
    ase.io.write(tmp_path / "test.extxyz", [WATERS[k] for k in order])
    errors = evaluate(finished[0] / "model", tmp_path / "test.extxyz", tmp_path / "eval", echo=None)
    for name in ("value_rmse", "force_mae"):
        assert errors[name] == pytest.approx(finished[1].results[name], rel=1e-5)
    assert json.loads((tmp_path / "eval" / "errors.json").read_text())["target"]["key"] == "energy_ev"
    with pytest.raises(StructureError, match="key 'energy_ev' is missing"):
        evaluate(finished[0] / "model", ROOT / "data" / "water.extxyz", tmp_path / "other", echo=None)
    assert not (tmp_path / "other").exists()


def test_radicals_are_evaluated(finished, tmp_path):
    """Nothing is calculated, so that an odd number of electrons is no obstacle."""
    radical = Atoms("OH", [[0, 0, 0], [0.97, 0, 0]], info={"energy_ev": 1.0})
    radical.arrays["forces_ev_angstrom"] = np.zeros((2, 3))
    errors = evaluate(finished[0] / "model", radical, tmp_path / "eval", echo=None)
    (known,) = load_model(finished[0] / "model").predict(radical)
    assert errors["value_rmse"] == pytest.approx(abs(known.value - 1.0)) and "force_rmse" in errors


def test_what_cannot_be_run_leaves_nothing_behind(file, tmp_path):
    mixed = tmp_path / "mixed.extxyz"
    order = np.random.default_rng(0).permutation(34)
    structures = [a.copy() for a in WATERS[:34]]
    structures[order[-1]].symbols = "SHH"
    ase.io.write(mixed, structures)
    refusals = [
        (settings(file, target={**ENERGY, "key": "energy"}), {}, StructureError, "did you mean 'energy_ev'"),
        (settings(mixed), {}, DomainError, rf"structure {order[-1]} \(H2S\): element S not in the training set"),
        (
            settings(file, split=TOO_SMALL),
            {},
            ConfigError,
            r"split\.curve starts at 1: .* at least two",
        ),
        (settings(file), {"executor": "nonsense"}, ConfigError, "executor 'nonsense' is not known"),
        (settings(file), {"until": "qm"}, ConfigError, "nothing is computed"),
        (settings(file), {"shard": (0, 2)}, ConfigError, "nothing is computed"),
    ]
    for config, options, error, words in refusals:
        with pytest.raises(error, match=words):
            run(config, tmp_path / "out", echo=None, **options)
    with pytest.raises(ConfigError, match=r"which model\.kernel\.kind soap has not"):
        settings(file, kernel={**KERNEL, "kind": "soap", "b": None})
    assert not (tmp_path / "out").exists()


def test_curve_points_without_the_elements_of_the_test_set_are_left_out(tmp_path):
    order = np.random.default_rng(0).permutation(20)
    structures = [a.copy() for a in WATERS[:20]]
    for k in (*order[6:10], *order[-2:]):
        structures[k].symbols = "SHH"
    ase.io.write(tmp_path / "mixed.extxyz", structures)
    lines = []
    config = settings(tmp_path / "mixed.extxyz", target=DIPOLE, split={"train": 14, "test": 6, "curve": [5, 14]})
    result = run(config, tmp_path / "out", echo=lines.append)
    assert [row["n_train"] for row in result.results["learning_curve"]] == [14]
    assert any("5 structures are left out (element S not in the training set" in line for line in lines)


@pytest.mark.parametrize("name", ["water_energy", "water_dipole", "water_polarizability"])
def test_shipped_workflows_can_be_read(name):
    config = load_config(ROOT / "workflows" / "property" / f"{name}.yaml")
    assert config.is_property and Path(config.structures.file).exists()


def call(*arguments):
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout + result.stderr


def test_verbs_of_the_command_line(finished, file, tmp_path):
    out = finished[0]
    code, text = call("evaluate", out)
    assert code == 0 and "energy_ev / eV" in text and "forces / eV/Å" in text
    code, text = call("status", out)
    assert code == 0 and text.split()[:4] == ["fit", "done", "evaluate", "done"]
    code, text = call("predict", out / "model", file, "-o", tmp_path / "pred")
    assert code == 0 and f"34 predictions: {tmp_path}/pred/predictions.extxyz, {tmp_path}/pred/properties.npz" in text
    code, text = call("evaluate", out / "model", file, "-o", tmp_path / "eval")
    assert code == 0 and "Errors on 34 test structures" in text
    code, text = call("qm", out / "config.yaml", "-o", tmp_path / "qm")
    assert code == 2 and "nothing is computed" in text
    code, text = call("report", out)
    assert code == 0 and "report.html" in text
