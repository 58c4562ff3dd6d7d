"""Whole models in the frames of bonds: calibrated error bars, selection by uncertainty, folders, refusals."""

import numpy as np
import pytest

from hamlearn import HamiltonianModel, PropertyModel, load_model, select_structures
from hamlearn.angular.ao_order import Orbitals
from hamlearn.config import (
    BondFrameFeatures,
    BondFrameKernel,
    KernelRidgeSettings,
    LowdinTarget,
    PropertyTarget,
    QMSettings,
    RidgeSettings,
)
from hamlearn.errors import ConfigError
from hamlearn.job import Job
from hamlearn.targets import Target
from hamlearn.testing.exact_problems import MatrixProblem, small_molecules

PROBLEM = MatrixProblem()
SMALL = BondFrameFeatures(max_l=2, max_n=3, max_channels=6, threshold=1e-5, max_features=150)
KERNEL = BondFrameKernel(max_l=2, max_n=3, max_channels=6)
LEARNERS = {
    "ridge": RidgeSettings(features=SMALL, error_bars=True),
    "kernel": KernelRidgeSettings(kernel=KERNEL, error_bars=True),
}
KNOWN, NEW = small_molecules(12), small_molecules(6, seed=1)


def targets(structures):
    matrices = PROBLEM.labels(structures)
    orbitals = [Orbitals.from_mole(PROBLEM._mole(atoms)) for atoms in structures]
    return [
        Target(atoms.numbers, matrix, None, own, int(atoms.numbers.sum()) // 2)
        for atoms, matrix, own in zip(structures, matrices, orbitals, strict=True)
    ]


@pytest.fixture(scope="module", params=LEARNERS)
def told(request):
    """A model, and what was said of its fit."""
    lines = []
    new = HamiltonianModel(QMSettings(basis="sto-3g"), LowdinTarget(), LEARNERS[request.param])
    return new.fit(KNOWN, targets(KNOWN), Job(echo=lines.append)), lines


@pytest.fixture(scope="module")
def model(told):
    return told[0]


def test_error_bars_are_calibrated_on_structures_left_out(told):
    model, lines = told
    levels, gap = model.calibration_
    assert 0.05 < levels < 20 and 0.05 < gap < 20
    assert any("of the errors of 12 structures left out" in line for line in lines)


def test_predictions_have_error_bars(model):
    predictions = model.predict(NEW, std=True)
    truth = targets(NEW)
    for prediction, plain, target in zip(predictions, model.predict(NEW), truth, strict=True):
        np.testing.assert_allclose(prediction.hamiltonian, plain.hamiltonian, atol=1e-9)
        assert np.isfinite(prediction.eigenvalues_std_ev).all() and (prediction.eigenvalues_std_ev > 0).all()
        assert np.abs(prediction.hamiltonian - target.matrix).max() < 0.1 * np.abs(target.matrix).max()


def test_the_least_certain_are_selected(model):
    stretched = [atoms.copy() for atoms in NEW]
    stretched[3].positions[1] += 0.4
    assert select_structures(model, stretched, 1, by="uncertainty", of="levels").tolist() == [3]
    assert len(select_structures(model, stretched, 3, by="both", known=KNOWN)) == 3


def test_a_saved_model_is_the_same(model, tmp_path):
    """Features to the last bit; sums over the weights of a kernel round as arrays lie in memory."""
    rounding = 0.0 if isinstance(model.model, RidgeSettings) else 1e-12
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    for one, other in zip(model.predict(NEW, std=True), again.predict(NEW, std=True), strict=True):
        np.testing.assert_allclose(one.hamiltonian, other.hamiltonian, rtol=rounding, atol=rounding)
        np.testing.assert_allclose(one.eigenvalues_std_ev, other.eigenvalues_std_ev, rtol=1e3 * rounding)
    assert again.model == model.model and again.calibration_ == model.calibration_
    assert again.alpha_of_block() == model.alpha_of_block() and len(again.alpha_of_block()) > 10


def test_other_parameters_forget_the_fit():
    settings = RidgeSettings(features=SMALL)
    model = HamiltonianModel(QMSettings(basis="sto-3g"), LowdinTarget(), settings).fit(KNOWN[:4], targets(KNOWN[:4]))
    before = model.predict(NEW[:1])[0].hamiltonian
    model.set_params(model=settings.model_copy(update={"features": SMALL.model_copy(update={"length": 4.0})}))
    assert not model.is_fitted
    after = model.fit(KNOWN[:4], targets(KNOWN[:4])).predict(NEW[:1])[0].hamiltonian
    assert np.abs(after - before).max() > 1e-6


def test_properties_are_refused():
    with pytest.raises(ConfigError, match=r"kind bond_frame learns matrices, got target\.kind property"):
        PropertyModel(PropertyTarget(key="energy"), RidgeSettings(features=SMALL))
