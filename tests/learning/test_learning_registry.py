"""Learners that are not part of the package, from a workflow file to the report."""

from importlib import metadata
from importlib.metadata import EntryPoint
from typing import Literal

import numpy as np
import pytest
import yaml
from nearest_learner import NearestLearner, NearestSettings, register

import hamlearn
from hamlearn.config import KernelRidgeSettings, KernelSettings, ModelSettings, RidgeSettings, load_config
from hamlearn.config import learners as kinds
from hamlearn.errors import ConfigError
from hamlearn.learning import registry
from hamlearn.learning.pair_kernels import PairKernelLearner
from hamlearn.learning.protocols import Learner
from hamlearn.learning.registry import learner_class, new_learner, register_learner, smaller
from hamlearn.learning.ridge import RidgeLearner
from hamlearn.learning.sum_kernels import SumKernelLearner
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.testing import assert_equivariant
from hamlearn.testing.learner_contract import LearnerContract


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The learner is known to the tests of this file alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_LEARNERS", dict(registry._LEARNERS))
        patch.setattr(kinds, "_KINDS", dict(kinds._KINDS))
        register()
        yield


class TestNearestLearner(LearnerContract):
    settings = NearestSettings()
    has_error_bars = leaves_out = False
    largest_error = 0.8


@pytest.fixture(scope="module")
def run_of_nearest(waters, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nearest")
    import ase.io

    ase.io.write(folder / "waters.extxyz", waters[:12])
    workflow = {
        "structures": {"file": str(folder / "waters.extxyz")},
        "qm": {"basis": "sto-3g"},
        "target": {"kind": "lowdin"},
        "model": {"kind": "nearest", "neighbours": 2},
        "split": {"train": 8, "test": 4, "curve": [2, 8]},
    }
    (folder / "nearest.yaml").write_text(yaml.safe_dump(workflow))
    config = load_config(folder / "nearest.yaml")
    return folder / "out", hamlearn.run(config, folder / "out", executor="serial", echo=None)


def test_a_workflow_file_names_the_learner(run_of_nearest, waters):
    """Fit, learning curve, saved model, report; predictions are equivariant."""
    out, result = run_of_nearest
    assert result.results["equivariance_error"] < 1e-10
    first, last = result.results["learning_curve"]
    assert 0 < last["eigenvalue_rmse_mev"] == result.results["eigenvalue_rmse_mev"] and first["n_train"] == 2
    assert "nearest" in (out / "report.html").read_text()
    assert yaml.safe_load((out / "model" / "model.yaml").read_text())["model"] == {
        "kind": "nearest", "folds": 3, "memory_gb": 4.0, "time_minutes": None, "error_bars": None, "neighbours": 2,
    }  # fmt: skip
    model = hamlearn.load_model(out / "model")
    assert isinstance(model.learner_, NearestLearner) and model.learner_.settings.neighbours == 2
    assert_equivariant(model, waters[:2])


def test_a_saved_learner_of_ones_own_predicts_the_same(run_of_nearest, waters, tmp_path):
    model = hamlearn.load_model(run_of_nearest[0] / "model")
    model.save(tmp_path / "again")
    moved = [rotate(permute(atoms, [2, 0, 1]), random_rotation(np.random.default_rng(0))) for atoms in waters[:2]]
    for one, other in zip(model.predict(moved), hamlearn.load_model(tmp_path / "again").predict(moved), strict=True):
        np.testing.assert_array_equal(one.hamiltonian, other.hamiltonian)


def test_learners_of_the_package():
    assert learner_class(RidgeSettings()) is RidgeLearner
    assert learner_class(KernelRidgeSettings()) is PairKernelLearner
    assert isinstance(new_learner(KernelRidgeSettings(kernel=KernelSettings())), SumKernelLearner)


def test_settings_of_a_learning_curve_choose_nothing_and_have_no_error_bars(waters):
    asked = KernelRidgeSettings(active={"O": 9, "H-O": 5}, kernel={"grid": {"rate": [0.5, 1.0]}}, error_bars=True)
    found = smaller(asked, waters[:4])
    assert (found.active, found.kernel.grid, found.error_bars) == ({"O": 4, "H-O": 5}, None, False)
    of_property = KernelRidgeSettings(kernel=KernelSettings(grid={"max_nu": [2, 3]}), error_bars=True)
    found = smaller(of_property, waters[:4])
    assert (found.kernel.grid, found.error_bars) == (None, False)
    assert smaller(NearestSettings(error_bars=True), waters).error_bars is False


@pytest.fixture
def forgetful(monkeypatch):
    """Registries that forget what a test adds."""
    monkeypatch.setattr(registry, "_LEARNERS", dict(registry._LEARNERS))
    monkeypatch.setattr(kinds, "_KINDS", dict(kinds._KINDS))


class OtherSettings(ModelSettings):
    kind: Literal["other", "ridge"] = "other"


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize(
    ("name", "settings", "learner", "words"),
    [
        ("other", OtherSettings, dict, r"learner 'other' got <class 'dict'>; derive a class from hamlearn.Learner"),
        ("other", OtherSettings, NearestLearner(NearestSettings()), r"derive a class from hamlearn.Learner"),
        ("other", dict, NearestLearner, r"got <class 'dict'>; derive a class from hamlearn.ModelSettings"),
        ("another", OtherSettings, NearestLearner, r'OtherSettings has no field kind: Literal\["another"\]'),
        ("ridge", OtherSettings, NearestLearner, r"learner 'ridge' exists already; choose another name"),
        ("ridge", RidgeSettings, NearestLearner, r"'ridge' exists already; choose another name for NearestLearner"),
        ("kernel", KernelRidgeSettings, NearestLearner, r"learner 'kernel' exists already"),
        ("ridge", RidgeSettings, Learner, r"learner 'ridge': Learner lacks .*fit.*predict.*; define what is abstract"),
        ("other", OtherSettings, Learner, r"learner 'other': Learner lacks"),
        ("nearest", RidgeSettings, NearestLearner, r"RidgeSettings has no field kind: Literal\[\"nearest\"\]"),
    ],
)
def test_what_is_no_learner_is_refused(name, settings, learner, words):
    """And nothing is registered by halves."""
    before = dict(registry._LEARNERS), dict(kinds._KINDS)
    with pytest.raises(ConfigError, match=words):
        register_learner(name, settings, learner)
    assert before == (registry._LEARNERS, kinds._KINDS)


def test_unknown_kinds_are_refused_with_those_there_are(tmp_path):
    with pytest.raises(ConfigError) as told:
        ModelSettings(kind="nearst")
    assert "did you mean 'nearest'?" in str(told.value)
    path = tmp_path / "workflow.yaml"
    path.write_text("structures: {file: waters.extxyz}\nsplit: {train: 4, test: 2}\nmodel: {kind: nearst}\n")
    with pytest.raises(ConfigError) as told_of_file:
        load_config(path)
    assert "model.kind: expected one of" in str(told_of_file.value)
    for words in map(str, (told.value, told_of_file.value)):
        assert all(name in words for name in ("ridge", "kernel", "nearest", "nearst"))


@pytest.mark.usefixtures("forgetful")
def test_settings_of_another_class_are_no_kind_twice_and_the_same_may_be_registered_again():
    kinds.register_settings("other", OtherSettings)
    with pytest.raises(ConfigError, match="kind 'ridge' is that of RidgeSettings already; choose another name"):
        kinds.register_settings("ridge", OtherSettings)
    again = type("NearestLearner", (NearestLearner,), {"__module__": NearestLearner.__module__})
    register_learner("nearest", NearestSettings, again)
    assert learner_class(NearestSettings()) is again


@pytest.mark.usefixtures("forgetful")
def test_settings_without_a_learner_are_refused():
    kinds.register_settings("other", OtherSettings)
    with pytest.raises(ConfigError, match=r"no learner is registered for model.kind other .*there are ridge, kernel"):
        new_learner(OtherSettings())


def test_settings_are_those_of_the_learner(tmp_path):
    """Wrong ones are refused as those of the package are, with their meaning."""
    path = tmp_path / "workflow.yaml"
    for setting, words in (
        ("neighbours: 0", "model.neighbours: must be at least 1"),
        ("neighbors: 2", "unknown setting"),
    ):
        path.write_text(
            f"structures: {{file: a.xyz}}\nsplit: {{train: 4, test: 2}}\nmodel: {{kind: nearest, {setting}}}\n"
        )
        with pytest.raises(ConfigError, match=words):
            load_config(path)
    assert "how many are averaged" in NearestSettings.__doc__


@pytest.mark.usefixtures("forgetful")
def test_installed_packages_bring_learners(monkeypatch, tmp_path):
    """Their entry points are called once a kind is not known."""
    (tmp_path / "a.xyz").touch()
    del registry._LEARNERS["nearest"], kinds._KINDS["nearest"]
    entry = EntryPoint("nearest", "nearest_learner:register", "hamlearn.learners")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] if group == "hamlearn.learners" else [])
    path = tmp_path / "workflow.yaml"
    path.write_text("structures: {file: a.xyz}\nsplit: {train: 4, test: 2}\nmodel: {kind: nearest, neighbours: 1}\n")
    settings = load_config(path).model
    assert settings.kind == "nearest" and type(new_learner(settings)) is NearestLearner
