import numpy as np
import pytest
import yaml

from hamlearn.config import FeatureSettings, ModelSettings, QMSettings, TargetSettings
from hamlearn.errors import ConfigError
from hamlearn.hamiltonian_model import HamiltonianModel, load_model
from hamlearn.models.saved import SPEC
from hamlearn.observables import calibration_metrics, errors_with_stds, reference_prediction
from hamlearn.qm import run_scf
from hamlearn.structures import permute, random_rotation, rotate
from hamlearn.targets import build_target
from hamlearn.testing import TOLERANCE
from hamlearn.units import BOHR_ANGSTROM

QM = QMSettings(basis="sto-3g", conv_tol=1e-11)
FEATURES = FeatureSettings(max_l=3, max_n=3)
BARS = ModelSettings(error_bars=True)
TARGETS = {"saph": TargetSettings(), "fock_delta": TargetSettings(kind="fock", delta="minao")}
N = 24


@pytest.fixture(scope="module")
def records(waters):
    return [run_scf(a.numbers, a.positions / BOHR_ANGSTROM, QM, ("minao",)) for a in waters]


def trained(name, waters, records, settings=BARS):
    targets = [build_target(record, TARGETS[name]) for record in records[:N]]
    lines = []
    model = HamiltonianModel(qm=QM, target=TARGETS[name], features=FEATURES, model=settings)
    return model.fit(waters[:N], targets, lines.append), lines


@pytest.fixture(scope="module", params=TARGETS)
def case(request, waters, records):
    return request.param, *trained(request.param, waters, records)


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
        assert b.gap_std_ev == pytest.approx(a.gap_std_ev, rel=1e-6, abs=bound)
        np.testing.assert_allclose(b.eigenvalues_std_ev, a.eigenvalues_std_ev, rtol=1e-6, atol=bound)


def test_loading_gives_bitwise_the_same(case, waters, tmp_path):
    _, model, _ = case
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.calibration_ == model.calibration_ != (1.0, 1.0)
    for a, b in zip(model.predict(waters[N:], std=True), loaded.predict(waters[N:], std=True), strict=True):
        assert (a.hamiltonian == b.hamiltonian).all() and (a.eigenvalues_std_ev == b.eigenvalues_std_ev).all()
        assert a.gap_std_ev == b.gap_std_ev


def test_error_bars_are_asked_for_and_paid_for(case, waters, records):
    name, model, _ = case
    assert np.isnan(model.predict(waters[:1])[0].gap_std_ev)
    plain, lines = trained(name, waters, records, ModelSettings())
    assert not [line for line in lines if "error bars" in line]
    before, after = plain.predict(waters[N:])[0], model.predict(waters[N:], std=True)[0]
    np.testing.assert_allclose(after.hamiltonian, before.hamiltonian, atol=1e-6)
    with pytest.raises(ConfigError, match="fitted without error bars"):
        plain.predict(waters[:1], std=True)


def test_folders_of_models_from_before_there_were_error_bars(waters, records, tmp_path):
    model, _ = trained("saph", waters, records, ModelSettings())
    model.save(tmp_path / "model")
    path = tmp_path / "model" / SPEC
    spec = yaml.safe_load(path.read_text())
    del spec["calibration"], spec["model"]["error_bars"]
    path.write_text(yaml.safe_dump(spec))
    loaded = load_model(tmp_path / "model")
    assert (loaded.predict(waters[:1])[0].hamiltonian == model.predict(waters[:1])[0].hamiltonian).all()
