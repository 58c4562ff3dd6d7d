"""A learner of properties of one's own without error bars, from settings to report, prediction and evaluation."""

from pathlib import Path
from typing import Literal

import ase.io
import numpy as np
import pytest

import hamlearn
from hamlearn import Learner, ModelSettings, PropertyModel, register_learner
from hamlearn.config import KernelRidgeSettings, KernelSettings, PropertyTarget, RidgeSettings, build_config
from hamlearn.config import learners as kinds
from hamlearn.errors import ConfigError
from hamlearn.learning import registry
from hamlearn.learning.groups import Answers
from hamlearn.structures import read_structures
from hamlearn.workflow import evaluate, predict, run

DATA = Path(__file__).parents[2] / "data" / "water_properties.extxyz"
TARGET = {"kind": "property", "key": "energy_ev", "unit": "eV"}
EXECUTORS = []


class AlikeSettings(ModelSettings):
    kind: Literal["alike"] = "alike"


class AlikeLearner(Learner[AlikeSettings]):
    """The energy of the training molecule with the most alike distances."""

    def fit(self, structures, data, job, held_out=False):
        self.remember(structures, data)
        return self

    def predict(self, structures, job):
        EXECUTORS.append(job.executor)
        self.domain_.check(structures)
        known, new = (
            np.array([np.sort(a.get_all_distances().ravel()) for a in x]) for x in (self.structures_, structures)
        )
        nearest = np.linalg.norm(new[:, None] - known[None], axis=-1).argmin(axis=1)
        return Answers(len(structures), {group: rows[nearest] for group, rows in self.data_.values.items()})

    def chosen_numbers(self):
        return {"neighbours": 1.0}


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The learner is known to the tests of this file alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_LEARNERS", dict(registry._LEARNERS))
        patch.setattr(kinds, "_KINDS", dict(kinds._KINDS))
        register_learner("alike", AlikeSettings, AlikeLearner)
        yield


def config(**settings):
    return build_config(
        {
            "structures": {"file": str(DATA)},
            "target": TARGET,
            "model": {"kind": "alike", **settings},
            "split": {"train": 60, "test": 10, "curve": [6, 60]},
        }
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("alike") / "out"
    EXECUTORS.clear()
    return out, run(config(), out, executor="local:1", echo=None), set(EXECUTORS)


def test_it_runs_without_error_bars(finished):
    """Null means those there are."""
    out, result, _ = finished
    found = result.results
    assert 0 < found["value_rmse"] < 0.7 * found["value_spread"]
    assert found["equivariance_error"] < 1e-10 and found["hyperparameters"] == {"neighbours": 1.0}
    model = hamlearn.load_model(out / "model")
    assert not model.has_error_bars and model.hyperparameters_ == {"neighbours": 1.0}
    with np.load(out / "test_properties.npz") as stored:
        assert np.isnan(stored["std"]).all()
    assert (out / "report.html").exists()
    with pytest.raises(ConfigError, match="without error bars"):
        model.predict(read_structures(DATA)[:2], std=True)
    with pytest.raises(ConfigError, match=r"model.kind alike has no derivatives .*; train by ridge regression, or"):
        model.predict(read_structures(DATA)[:2], forces=True)


def test_saved_models_predict_where_they_are_told(finished, tmp_path):
    """The executor reaches the learner, in runs, predictions and evaluations."""
    out, _, executors = finished
    assert executors == {"local:1", "serial"}  # symmetry is measured here
    structures = read_structures(DATA)[:5]
    ase.io.write(tmp_path / "some.extxyz", structures)
    EXECUTORS.clear()
    found = predict(out / "model", tmp_path / "some.extxyz", tmp_path / "predicted", executor="local:2")
    assert EXECUTORS == ["local:2"] and all(p.std is None for p in found)
    EXECUTORS.clear()
    errors = evaluate(out / "model", tmp_path / "some.extxyz", tmp_path / "evaluated", executor="local:3", echo=None)
    assert EXECUTORS == ["local:3"] and errors["value_rmse"] >= 0


def test_error_bars_there_are_not_are_refused_before_the_fit(tmp_path):
    words = "model.kind alike has no error bars .*HAS_ERROR_BARS is false.*, got model.error_bars true; drop it"
    with pytest.raises(ConfigError, match=words):
        run(config(error_bars=True), tmp_path / "out", executor="serial", echo=None)
    assert not (tmp_path / "out").exists()
    asked = PropertyModel(PropertyTarget(key="energy_ev"), AlikeSettings(error_bars=True))
    with pytest.raises(ConfigError, match=words):
        asked.fit(read_structures(DATA)[:4])
    assert not asked.is_fitted


def test_learners_say_whether_they_have_error_bars():
    target = PropertyTarget(key="energy_ev")
    of_kernels = KernelRidgeSettings(kernel=KernelSettings())
    for settings, expected in ((AlikeSettings(), False), (RidgeSettings(), True), (of_kernels, True)):
        assert PropertyModel(target, settings).has_error_bars is expected
        assert not PropertyModel(target, settings.model_copy(update={"error_bars": False})).has_error_bars
    assert registry.learner_class(KernelRidgeSettings()).HAS_ERROR_BARS
