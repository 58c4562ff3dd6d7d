"""Error bars of matrices, levels and gaps: their size, symmetry, price, and what they need."""

import numpy as np
import pytest
from water_models import QM, RIDGE, targets_of, trained, with_bars

from hamlearn.config import KernelRidgeSettings, WignerSettings
from hamlearn.errors import ConfigError
from hamlearn.job import Job
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.loading import load_model
from hamlearn.observables import calibration_metrics, errors_with_stds, reference_prediction
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.testing import TOLERANCE

WIGNER = WignerSettings(max_l=2, max_nu_pair=2, smearing_angstrom=0.4, smearing_growth_angstrom=None)
LEARNERS = {
    "ridge": RIDGE,
    "full": KernelRidgeSettings(kernel=WIGNER),
    "sparse": KernelRidgeSettings(kernel=WIGNER, basis="sparse", active=16),
}
CASES = [("saph", "ridge"), ("delta", "ridge"), ("saph", "full"), ("fock_delta", "sparse")]
N = 24


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def case(request, waters, records):
    """Name of target and learner, a model with error bars, and what it said during its fit."""
    target, learner = request.param
    lines = []
    model = trained(target, waters, records, N, with_bars(LEARNERS[learner]), Job(echo=lines.append))
    return request.param, model, lines


def rounding(model):
    """Relative, of a standard deviation: that of kernels is a small difference of large variances."""
    return 1e-6 if model.model.kind == "ridge" else 1e-4


def test_error_bars_have_the_size_of_the_errors(case, waters, records):
    (target, _), model, lines = case
    predictions = model.predict(waters[N:], std=True)
    references = [reference_prediction(known) for known in targets_of(target, records[N:])]
    for errors, stds in errors_with_stds(predictions, references).values():
        found = calibration_metrics(errors, stds)
        assert 0.4 < found["coverage_68"] <= 0.95 and found["coverage_95"] > 0.7
    assert [line for line in lines if line.startswith("error bars: scaled by")]
    assert model.learner_.held_out_ == []  # not kept beyond the calibration


def test_molecules_unlike_those_of_the_training_set_are_less_certain(case, waters):
    _, model, _ = case
    far = waters[N].copy()
    far.set_distance(0, 1, 1.4, fix=0)
    usual = np.median([p.gap_std_ev for p in model.predict(waters[N:], std=True)])
    assert model.predict([far], std=True)[0].gap_std_ev > 10 * usual


def test_error_bars_do_not_turn_or_shuffle_with_the_molecule(case, waters):
    _, model, _ = case
    rng = np.random.default_rng(0)
    moved = [permute(rotate(a, random_rotation(rng, improper=True)), [2, 0, 1]) for a in waters[N : N + 4]]
    plain, turned = model.predict(waters[N : N + 4], std=True), model.predict(moved, std=True)
    bound = TOLERANCE["float64"]["equivariance"]
    for a, b in zip(plain, turned, strict=True):
        assert a.gap_std_ev > 1e3 * bound
        assert b.gap_std_ev == pytest.approx(a.gap_std_ev, rel=rounding(model), abs=bound)
        np.testing.assert_allclose(b.eigenvalues_std_ev, a.eigenvalues_std_ev, rtol=rounding(model), atol=bound)


def test_loading_gives_bitwise_the_same(case, waters, tmp_path):
    _, model, _ = case
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.calibration_ == model.calibration_ != (1.0, 1.0)
    for a, b in zip(model.predict(waters[N:], std=True), loaded.predict(waters[N:], std=True), strict=True):
        assert (a.hamiltonian == b.hamiltonian).all() and (a.eigenvalues_std_ev == b.eigenvalues_std_ev).all()
        assert a.gap_std_ev == b.gap_std_ev


def test_error_bars_are_asked_for_and_paid_for(case, waters, records, monkeypatch):
    (target, learner), model, _ = case
    assert np.isnan(model.predict(waters[:1])[0].gap_std_ev)
    lines = []
    plain = trained(target, waters, records, N, LEARNERS[learner], Job(echo=lines.append))
    assert not [line for line in lines if "error bars" in line]
    assert plain.calibration_ == (1.0, 1.0)
    before, after = plain.predict(waters[N:])[0], model.predict(waters[N:], std=True)[0]
    np.testing.assert_allclose(after.hamiltonian, before.hamiltonian, atol=1e-6)
    with pytest.raises(ConfigError, match="fitted without error bars"), monkeypatch.context() as patched:
        patched.setattr(HamiltonianModel, "_sides", None)  # no guess is computed before
        plain.predict(waters[:1], std=True)
    with pytest.raises(ConfigError, match="std is 'gap'; expected False, True or 'levels'"):
        model.predict(waters[:1], std="gap")


def test_levels_alone_need_no_covariance_in_memory(case, waters, monkeypatch):
    """Those of one molecule at a time, where no more fit, are those of all at once."""
    _, model, _ = case
    few = waters[N : N + 6]
    whole, at_once = model.predict(few, std=True), []
    predict = model.learner_.predict_with_covariance

    def counted(structures, job):
        at_once.append(len(structures))
        return predict(structures, job)

    monkeypatch.setattr(model.learner_, "predict_with_covariance", counted)
    monkeypatch.setattr(model, "model", model.model.model_copy(update={"memory_gb": 1e-9}))
    lots = model.predict(few, std="levels")
    assert at_once == [1] * len(lots)
    for a, b in zip(whole, lots, strict=True):
        assert a.covariance is not None and b.covariance is None and a.has_error_bars and b.has_error_bars
        np.testing.assert_allclose(b.eigenvalues_std_ev, a.eigenvalues_std_ev, rtol=rounding(model))
        assert b.gap_std_ev == pytest.approx(a.gap_std_ev, rel=rounding(model))
        assert np.isnan(b.hamiltonian_std).all()
        assert (a.without_covariance().eigenvalues_std_ev == a.eigenvalues_std_ev).all()


@pytest.mark.parametrize("learner", ["ridge", "full"])
def test_covariances_of_structures_left_out_need_memory(waters, records, learner, monkeypatch):
    monkeypatch.setattr("hamlearn.learning.groups.covariance_gigabytes", lambda *_: 0.25)
    with pytest.raises(ConfigError, match=r"24 structures left out, whose covariances need 6 GB.*memory_gb = 4"):
        trained("saph", waters, records, N, with_bars(LEARNERS[learner]))


def test_a_learner_that_leaves_nothing_out_cannot_be_calibrated(waters, records, monkeypatch):
    """And the refused fit leaves the model as it was."""
    model = trained("saph", waters, records, 6, with_bars(RIDGE))
    before, targets = model.predict(waters[N], std=True), targets_of("saph", records[:8])
    whole = type(model.learner_).fit

    def forgetful(self, *arguments):
        learner = whole(self, *arguments)
        learner.held_out_ = []
        return learner

    monkeypatch.setattr(type(model.learner_), "fit", forgetful)
    with pytest.raises(ConfigError, match=r"leaves no structures out to calibrate error bars; drop model\.error_bars"):
        model.fit(waters[:8], targets)
    assert model.predict(waters[N], std=True) == before
    assert HamiltonianModel(QM, model=RIDGE).fit(waters[:8], targets).is_fitted  # as the message advises
