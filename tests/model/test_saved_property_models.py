import shutil

import numpy as np
import pytest
import yaml
from properties import labelled, model, molecules

import hamlearn
from hamlearn.errors import ArtifactError
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.hamiltonian_folder import load_model as load_hamiltonian_model
from hamlearn.model.property import PropertyModel
from hamlearn.model.property_folder import load_model, load_property_model, write_card
from hamlearn.model.saved import CARD, SPEC, TENSORS

TRAIN, NEW = labelled(molecules(10)), labelled(molecules(4, seed=90))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    model(forces=True, active=5).fit(TRAIN).save(folder)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"forces": True, "active": 5},
        {"forces": True, "basis": "derivatives"},
        {"key": "dipole", "l": 1, "basis": "sparse", "active": 6},
        {"key": "alpha", "l": 2},
    ],
)
def test_a_loaded_model_predicts_the_same(arguments, tmp_path):
    fitted = model(**arguments).fit(TRAIN)
    fitted.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert isinstance(loaded, PropertyModel)
    forces = arguments.get("l", 0) == 0
    for a, b in zip(*(m.predict(NEW, forces=forces, std=True) for m in (fitted, loaded)), strict=True):
        np.testing.assert_array_equal(a.value, b.value)
        assert a.std == b.std
        np.testing.assert_array_equal(a.forces, b.forces)
    for name in ("target", "kernel", "model", "hyperparameters_", "training_", "baseline_", "scale_"):
        assert getattr(loaded, name) == getattr(fitted, name)


def test_the_folder_says_what_the_model_is(saved):
    assert {path.name for path in saved.iterdir()} == {SPEC, TENSORS, CARD}
    spec = yaml.safe_load((saved / SPEC).read_text())
    assert (spec["kind"], spec["format_version"], spec["elements"]) == ("property_model", 1, [1, 6, 8])
    assert spec["basis"] == {"kind": "sparse", "size": 15}
    card = (saved / CARD).read_text()
    assert "Predicts: energy, a scalar, eV, learned with forces" in card
    assert "CH2O (5), H2O (5)" in card and "Errors: not measured" in card


def test_measured_errors_enter_the_card(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "model")
    row = {"value_rmse": 0.01234, "value_mae": 0.005, "force_rmse": 0.1, "force_mae": 0.07}
    write_card(folder, {"n_test": 4, **row, "learning_curve": [{"n_train": 5, "order": 0, **row}]})
    card = (folder / CARD).read_text()
    assert "| energy, eV | 0.0123 | 0.005 |" in card and "| forces, eV/Å | 0.1 | 0.07 |" in card
    assert "| 5 | 0 | 0.0123 | 0.005 | 0.1 | 0.07 |" in card


def test_models_of_either_kind_load_through_one_door(saved, tmp_path, water_lowdin, waters):
    from hamlearn.config import QMSettings, TargetSettings
    from hamlearn.targets import Target

    matrices, orbitals = water_lowdin
    targets = [Target(a.numbers, m, None, orbitals, 5) for a, m in zip(waters[:8], matrices, strict=False)]
    other = HamiltonianModel(qm=QMSettings(basis="sto-3g"), target=TargetSettings(kind="lowdin"))
    other.fit(waters[:8], targets).save(tmp_path / "other")
    assert isinstance(hamlearn.load_model(tmp_path / "other"), HamiltonianModel)
    assert isinstance(hamlearn.load_model(saved), PropertyModel)
    with pytest.raises(ArtifactError, match="is of kind 'property_model', expected 'hamiltonian_model'"):
        load_hamiltonian_model(saved)
    with pytest.raises(ArtifactError, match="is of kind 'hamiltonian_model', expected 'property_model'"):
        load_property_model(tmp_path / "other")


def test_unusable_folders_are_refused(saved, tmp_path):
    def copy(name):
        return shutil.copytree(saved, tmp_path / name)

    spec = yaml.safe_load((saved / SPEC).read_text())
    (copy("cut") / TENSORS).write_bytes((saved / TENSORS).read_bytes()[:500])
    (copy("newer") / SPEC).write_text(yaml.safe_dump({**spec, "format_version": 2}))
    (copy("strange") / SPEC).write_text(yaml.safe_dump({k: v for k, v in spec.items() if k != "baseline"}))
    (tmp_path / "empty").mkdir()
    words = {
        "cut": "truncated or changed",
        "newer": "upgrade hamlearn",
        "strange": "not a whole model",
        "empty": "holds no",
    }
    for name, expected in words.items():
        with pytest.raises(ArtifactError, match=expected):
            load_model(tmp_path / name)
    with pytest.raises(ArtifactError, match="not empty"):
        load_model(saved).save(saved)
