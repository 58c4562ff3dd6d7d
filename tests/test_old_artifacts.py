"""Files of earlier versions are read as they were meant; see resources/artifacts/README.md for how they were made."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from ase import Atoms

import hamlearn
from hamlearn.errors import ArtifactError, HamlearnError
from hamlearn.qm import load_record
from hamlearn.targets import load_targets

OLD = Path(__file__).parent / "resources" / "artifacts" / "0.1.0"
SETTINGS = json.loads((OLD / "settings.json").read_text())
RUNS = {"matrix": "ridge_saph", "property": "energy_forces"}
MOVED = {
    "features": "model.features",
    "wigner": "model.kernel",
    "kernel": "model.kernel",
    "model.energy_weight": "target.energy_weight",
    "model.force_weight": "target.force_weight",
}
"""Where a section or setting of version 0.1.0 is found in a configuration today; others are where they were."""


def look_up(config, name):
    """Value of a setting of version 0.1.0, as JSON has it."""
    section, _, rest = name.partition(".")
    moved = MOVED.get(name) or f"{MOVED.get(section, section)}.{rest}"
    value = config
    for part in moved.split("."):
        value = getattr(value, part)
    if name == "model.kind" and value == "kernel" and not config.is_property:
        return "wigner"  # its name in version 0.1.0
    return json.loads(json.dumps(value))


def expected(name):
    with np.load(OLD / "expected" / f"{name}.npz") as arrays:
        return dict(arrays)


def assert_close(found, stored, tolerance=1e-8):
    np.testing.assert_allclose(found, stored, rtol=0, atol=tolerance * np.abs(stored).max())


def joined(predictions, name):
    return np.concatenate([np.ravel(getattr(p, name)) for p in predictions])


# -- models


@pytest.mark.parametrize("name", SETTINGS)
def test_models_predict_what_they_did(name):
    known = expected(name)
    ends = np.cumsum(known["sizes"])[:-1]
    pairs = zip(np.split(known["numbers"], ends), np.split(known["positions"], ends), strict=True)
    structures = [Atoms(numbers, positions) for numbers, positions in pairs]
    model = hamlearn.load_model(OLD / "models" / name)
    if "values" in known:
        predictions = model.predict(structures, forces="forces" in known, std=True)
        names = {"values": "value", "forces": "forces", "stds": "std"}
    else:
        predictions = model.predict(structures, std="level_stds" in known)
        names = {"matrices": "hamiltonian", "metrics": "metric", "levels": "eigenvalues_ev", "gaps": "gap_ev"}
        names |= {"matrix_stds": "hamiltonian_std", "level_stds": "eigenvalues_std_ev", "gap_stds": "gap_std_ev"}
    assert known.keys() - {"sizes", "numbers", "positions"} <= names.keys()
    for stored in known.keys() & names.keys():
        found, before = joined(predictions, names[stored]), known[stored].ravel()
        if stored == "gap_stds":  # since then they hold what mixing with near levels adds
            assert np.all(found >= (1 - 1e-6) * before) and np.all(found <= 1.01 * before)
        else:
            assert_close(found, before, 1e-6 if "std" in stored else 1e-8)


# -- settings


@pytest.mark.parametrize("name", SETTINGS)
def test_workflow_files_mean_what_they_did(name):
    config = hamlearn.load_config(OLD / "workflows" / f"{name}.yaml")
    assert {key: look_up(config, key) for key in SETTINGS[name]} == SETTINGS[name]
    assert Path(config.structures.file).parent == OLD / "structures"


@pytest.mark.parametrize("name", RUNS)
def test_resolved_settings_of_a_run_mean_what_they_did(name):
    config = hamlearn.load_config(OLD / "finished" / name / "config.yaml")
    told = SETTINGS[RUNS[name]]
    assert {key: look_up(config, key) for key in told} == told


# -- calculations


@pytest.fixture(params=["campaign", "packed"])
def campaign(request, tmp_path):
    return Path(shutil.copytree(OLD / request.param, tmp_path / request.param))


def run_campaign(folder):
    config = hamlearn.load_config(OLD / "workflows" / "ridge_valence.yaml")
    structures = hamlearn.read_structures(OLD / "structures" / "waters.extxyz")[:3]
    return hamlearn.run_campaign(structures, config.qm, folder, guess_focks=("core",))


def test_calculations_are_found_and_not_made_again(campaign):
    before = {path.name: path.stat().st_mtime_ns for path in campaign.iterdir() if path.name != "campaign.json"}
    status = hamlearn.campaign_status(campaign)
    assert (status.total, status.done, status.failed, status.pending) == (3, 2, 1, 0)
    found, known = run_campaign(campaign), expected("campaign")
    assert found.failures.keys() == {2} and "not converged to 1e-10 Hartree" in found.failures[2]
    assert {name: (campaign / name).stat().st_mtime_ns for name in before} == before
    for k in range(2):
        record = found.load(k)
        assert record.provenance["basis"] == "6-31g"
        np.testing.assert_array_equal(record.guess_focks["core"], known["guess"][k])
        for name in known.keys() - {"guess"}:
            np.testing.assert_array_equal(getattr(record, name), known[name][k])


def test_targets_are_those_that_were_written():
    found, known = load_targets(OLD / "targets"), expected("targets")
    assert len(found) == 2
    for k, target in enumerate(found):
        for name, values in known.items():
            np.testing.assert_array_equal(getattr(target, name), values[k])
        assert target.diagnostics is not None


# -- runs


def copied_run(name, folder):
    """Copy a run and its structures; return the run."""
    shutil.copytree(OLD / "structures", folder / "structures")
    return Path(shutil.copytree(OLD / "finished" / name, folder / "finished" / name))


def run_again(folder):
    return hamlearn.run(hamlearn.load_config(folder / "config.yaml"), folder, executor="serial", echo=None)


@pytest.mark.parametrize("name", RUNS)
def test_a_finished_run_is_left_as_it_is(name, tmp_path):
    folder = copied_run(name, tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = run_again(folder)
    stored = json.loads((OLD / "finished" / name / "results.json").read_text())
    assert {"kind": "results", "format_version": 1, **result.results} == stored
    changed = {path.name for path, content in before.items() if path.read_bytes() != content}
    assert changed <= {"campaign.json"}
    assert result.report.exists()


@pytest.mark.parametrize("name", RUNS)
def test_a_run_fitted_again_gives_the_same_errors(name, tmp_path):
    """With calculations and targets as they are."""
    folder = copied_run(name, tmp_path)
    before = json.loads((folder / "results.json").read_text())
    records = {path: path.stat().st_mtime_ns for path in folder.glob("qm/*.npz")}
    for made in ("model", "curve", "predictions"):
        shutil.rmtree(folder / made, ignore_errors=True)
    for made in ("results.json", "evaluation.json", "seconds.json"):
        (folder / made).unlink()
    after = run_again(folder).results
    assert {path: path.stat().st_mtime_ns for path in folder.glob("qm/*.npz")} == records
    measured = [key for key in before if key.endswith(("_rmse", "_mae", "_mev"))]
    assert len(measured) >= 4
    for key in measured:
        assert after[key] == pytest.approx(before[key], rel=1e-5)
    for old, new in zip(before["learning_curve"], after["learning_curve"], strict=True):
        assert new == pytest.approx(old, rel=1e-5)


# -- what cannot be read


def in_json(path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))


def in_yaml(path):
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"format_version": 99}))


def in_header(path):
    with np.load(path) as arrays:
        content = dict(arrays)
    content["header"] = np.array(json.dumps(json.loads(str(content["header"])) | {"format_version": 99}))
    np.savez(path, **content)


def in_attributes(path):
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = 99


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def run_again_without_results(folder):
    (folder / "results.json").unlink()
    return run_again(folder)


FILES = [
    ("models/ridge_saph/model.yaml", in_yaml, lambda path: hamlearn.load_model(path.parent)),
    ("models/dipole/model.yaml", in_yaml, lambda path: hamlearn.load_model(path.parent)),
    ("finished/matrix/config.yaml", in_yaml, hamlearn.load_config),
    ("finished/matrix/results.json", in_json, lambda path: run_again(path.parent)),
    ("finished/property/evaluation.json", in_json, lambda path: run_again_without_results(path.parent)),
    ("campaign/campaign.json", in_json, lambda path: hamlearn.campaign_status(path.parent)),
    ("packed/campaign.h5", in_attributes, lambda path: hamlearn.campaign_status(path.parent)),
    ("targets/targets.npz", in_header, lambda path: load_targets(path.parent)),
]


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(OLD, tmp_path / "old"))


@pytest.mark.parametrize(("name", "made_newer", "read"), FILES, ids=[name for name, _, _ in FILES])
def test_files_of_later_versions_are_refused(name, made_newer, read, copy):
    made_newer(copy / name)
    with pytest.raises(ArtifactError, match=r"format 99.*upgrade hamlearn"):
        read(copy / name)


@pytest.mark.parametrize(("name", "read"), [(name, read) for name, _, read in FILES], ids=[n for n, _, _ in FILES])
def test_damaged_files_are_refused_in_words(name, read, copy):
    cut(copy / name)
    with pytest.raises(HamlearnError, match=Path(name).name) as refused:
        read(copy / name)
    assert any(word in str(refused.value) for word in ("damaged", "truncated", "not valid YAML"))


@pytest.mark.parametrize("name", ["ridge_saph", "wigner_full", "dipole"])
def test_models_with_damaged_numbers_are_refused(name, copy):
    cut(copy / "models" / name / "tensors.safetensors")
    with pytest.raises(ArtifactError, match="truncated or changed since it was saved"):
        hamlearn.load_model(copy / "models" / name)


def test_damaged_or_newer_records_are_not_used(copy):
    first, second = sorted((copy / "campaign").glob("*.npz"))
    cut(first)
    in_header(second)
    for path, words in ((first, "truncated or damaged"), (second, "upgrade hamlearn")):
        with pytest.raises(ArtifactError, match=words):
            load_record(path)
