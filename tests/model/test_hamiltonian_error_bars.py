import numpy as np
import pytest
import yaml

from hamlearn.config import FeatureSettings, ModelSettings, QMSettings, TargetSettings, WignerSettings
from hamlearn.errors import ConfigError
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.hamiltonian_folder import load_model
from hamlearn.model.saved import SPEC
from hamlearn.observables import calibration_metrics, errors_with_stds, reference_prediction
from hamlearn.qm import run_scf
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.targets import build_target
from hamlearn.testing import TOLERANCE
from hamlearn.units import BOHR_ANGSTROM

QM = QMSettings(basis="sto-3g", conv_tol=1e-11)
FEATURES = FeatureSettings(max_l=3, max_n=3)
WIGNER = WignerSettings(max_l=2, max_nu_pair=2, smearing_angstrom=0.4, smearing_growth_angstrom=None)
MODELS = {
    "ridge": ModelSettings(),
    "wigner": ModelSettings(kind="wigner"),
    "sparse": ModelSettings(kind="wigner", basis="sparse", active=16),
}
TARGETS = {"saph": TargetSettings(), "fock_delta": TargetSettings(kind="fock", delta="minao")}
CASES = {"saph": "ridge", "fock_delta": "ridge", "saph wigner": "wigner", "fock_delta sparse": "sparse"}
N = 24


@pytest.fixture(scope="module")
def records(waters):
    return [run_scf(a.numbers, a.positions / BOHR_ANGSTROM, QM, ("minao",)) for a in waters]


def trained(name, waters, records, kind="ridge", **settings):
    targets = [build_target(record, TARGETS[name]) for record in records[:N]]
    lines = []
    regression = MODELS[kind].model_copy(update={"error_bars": True, **settings})
    model = HamiltonianModel(qm=QM, target=TARGETS[name], features=FEATURES, wigner=WIGNER, model=regression)
    return model.fit(waters[:N], targets, lines.append), lines


def rounding(model):
    """Relative, of a standard deviation: that of kernels is a small difference of large variances."""
    return 1e-6 if model.model.kind == "ridge" else 1e-4


@pytest.fixture(scope="module", params=CASES)
def case(request, waters, records):
    name = request.param.split()[0]
    return name, *trained(name, waters, records, CASES[request.param])


def test_error_bars_have_the_size_of_the_errors(case, waters, records):
    name, model, lines = case
    predictions = model.predict(waters[N:], std=True)
    references = [reference_prediction(build_target(record, TARGETS[name])) for record in records[N:]]
    for errors, stds in errors_with_stds(predictions, references).values():
        found = calibration_metrics(errors, stds)
        assert 0.4 < found["coverage_68"] <= 0.95 and found["coverage_95"] > 0.7
    assert [line for line in lines if line.startswith("error bars: scaled by")]


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
    name, model, _ = case
    assert np.isnan(model.predict(waters[:1])[0].gap_std_ev)
    kind = "ridge" if model.model.kind == "ridge" else "sparse" if model.model.basis else "wigner"
    plain, lines = trained(name, waters, records, kind, error_bars=False)
    assert not [line for line in lines if "error bars" in line]
    before, after = plain.predict(waters[N:])[0], model.predict(waters[N:], std=True)[0]
    np.testing.assert_allclose(after.hamiltonian, before.hamiltonian, atol=1e-6)
    with pytest.raises(ConfigError, match="fitted without error bars"), monkeypatch.context() as patched:
        patched.setattr(HamiltonianModel, "_sides", None)  # no guess is computed before
        plain.predict(waters[:1], std=True)
    with pytest.raises(ConfigError, match="std is 'gap'; expected False, True or 'levels'"):
        model.predict(waters[:1], std="gap")


def test_levels_alone_need_no_covariance_in_memory(case, waters, records, monkeypatch):
    """Those of one molecule at a time, where no more fit, are those of all at once."""
    _, model, _ = case
    whole, at_once = model.predict(waters[N:], std=True), []
    predict = model.block_model_.predict_with_covariance

    def counted(structures, executor):
        at_once.append(len(structures))
        return predict(structures, executor)

    monkeypatch.setattr(model.block_model_, "predict_with_covariance", counted)
    monkeypatch.setattr(model, "model", model.model.model_copy(update={"memory_gb": 1e-9}))
    lots = model.predict(waters[N:], std="levels")
    assert at_once == [1] * len(lots)
    for a, b in zip(whole, lots, strict=True):
        assert a.covariance is not None and b.covariance is None and a.has_error_bars and b.has_error_bars
        np.testing.assert_allclose(b.eigenvalues_std_ev, a.eigenvalues_std_ev, rtol=rounding(model))
        assert b.gap_std_ev == pytest.approx(a.gap_std_ev, rel=rounding(model))
        assert np.isnan(b.hamiltonian_std).all()
        assert (a.without_covariance().eigenvalues_std_ev == a.eigenvalues_std_ev).all()


@pytest.mark.parametrize("kind", ["ridge", "wigner"])
def test_covariances_of_structures_left_out_need_memory(waters, records, kind, monkeypatch):
    monkeypatch.setattr("hamlearn.learning.groups.covariance_gigabytes", lambda *_: 0.25)
    with pytest.raises(ConfigError, match=r"24 structures left out, whose covariances need 6 GB.*memory_gb = 4"):
        trained("saph", waters, records, kind)


def test_folders_of_models_from_before_there_were_error_bars(waters, records, tmp_path):
    model, _ = trained("saph", waters, records, error_bars=False)
    model.save(tmp_path / "model")
    path = tmp_path / "model" / SPEC
    spec = yaml.safe_load(path.read_text())
    del spec["calibration"], spec["model"]["error_bars"]
    path.write_text(yaml.safe_dump(spec))
    loaded = load_model(tmp_path / "model")
    assert (loaded.predict(waters[:1])[0].hamiltonian == model.predict(waters[:1])[0].hamiltonian).all()
