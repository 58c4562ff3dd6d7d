"""Models of open shells: both spins as two channels, with every target, error bars, on disk and by the command line."""

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from water_models import KERNELS, RIDGE, TARGETS, with_bars

from hamlearn.config import QMSettings
from hamlearn.errors import ConfigError, DomainError
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.loading import load_model
from hamlearn.observables import SpinPrediction, errors_with_stds, level_errors, metrics, reference_prediction
from hamlearn.qm import run_scf
from hamlearn.targets import build_target, load_targets, predict_side, save_targets
from hamlearn.targets.spins import to_channels, to_spins
from hamlearn.units import BOHR_ANGSTROM, HARTREE_EV

UHF = QMSettings(method="UHF", basis="6-31G", conv_tol=1e-11, multiplicity=3)
BENT = np.array([[0, 0, 0], [0.98, 0, 0.42], [-0.98, 0, 0.42]])


@pytest.fixture(scope="module")
def carbenes():
    """24 distorted triplet CH2 and their calculations."""
    rng = np.random.default_rng(7)
    found = [Atoms("CH2", BENT + rng.normal(scale=0.03, size=(3, 3))) for _ in range(24)]
    return found, [run_scf(a.numbers, a.positions / BOHR_ANGSTROM, UHF, ("minao", "core", "atom")) for a in found]


def targets_of(name, carbenes):
    return [build_target(record, TARGETS[name]) for record in carbenes[1]]


def fitted(name, carbenes, settings=RIDGE, n=18):
    targets = targets_of(name, carbenes)
    return HamiltonianModel(UHF, TARGETS[name], settings).fit(carbenes[0][:n], targets[:n]), targets


def test_channels_are_mean_and_half_difference():
    alpha, beta = np.eye(2), np.diag([3.0, -1.0])
    assert to_channels(alpha, beta).tolist() == [[[2, 0], [0, 0]], [[-1, 0], [0, 1]]]
    for given, found in zip((alpha, beta), to_spins(to_channels(alpha, beta)), strict=True):
        assert np.array_equal(given, found)


@pytest.mark.parametrize("name", TARGETS)
def test_targets_hold_the_exact_levels_of_both_spins(name, carbenes):
    target = targets_of(name, carbenes)[0]
    exact = HARTREE_EV * carbenes[1][0].orbital_energies
    reference = reference_prediction(target)
    core = 1 if name not in ("lowdin", "fock", "fock_delta") else 0
    assert reference.n_occupied == (5 - core, 3 - core)
    for spin, levels, n in zip(reference.spins, exact, (5, 3), strict=True):
        assert np.abs(spin.eigenvalues_ev[: n - core] - levels[core:n]).max() < 1e-8
    assert reference.homo_ev == pytest.approx(max(exact[0][4], exact[1][2]))


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_is_learned_and_follows_rotations(name, carbenes):
    model, targets = fitted(name, carbenes)
    predictions = model.predict(carbenes[0][18:])
    assert all(isinstance(prediction, SpinPrediction) for prediction in predictions)
    references = [reference_prediction(target) for target in targets[18:]]
    found = metrics(predictions, references)
    assert found["eigenvalue_rmse_mev"] < 150
    assert model.equivariance_error(carbenes[0][18:20]) < 1e-8
    sides = model._sides(carbenes[0][:1], job=_silent())
    for ours, theirs in zip(sides[0], targets[0].side, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or np.abs(ours - theirs).max() < 1e-8
    rows = level_errors(predictions, references)
    assert {"alpha HOMO", "beta LUMO"} <= {row["level"] for row in rows}


def _silent():
    from hamlearn.job import SILENT

    return SILENT


def test_kernels_learn_two_channels(carbenes):
    model, targets = fitted("lowdin", carbenes, KERNELS)
    assert {key.channel for keys in model.task_.keys.values() for key in keys} == {0, 1}
    found = metrics(model.predict(carbenes[0][18:]), targets[18:])
    assert found["eigenvalue_rmse_mev"] < 150


def test_error_bars_of_both_spins(carbenes):
    model, targets = fitted("lowdin", carbenes, with_bars(RIDGE))
    kept = model.predict(carbenes[0][18:], std=True)
    shown = model.predict(carbenes[0][18:], std="levels")
    references = [reference_prediction(target) for target in targets[18:]]
    for whole, short in zip(kept, shown, strict=True):
        assert short.covariances is None and short.has_error_bars
        assert np.allclose(short.eigenvalues_std_ev, whole.eigenvalues_std_ev)
        assert short.gap_std_ev == pytest.approx(whole.gap_std_ev) and short.gap_std_ev > 0
    errors, stds = errors_with_stds(shown, references)["levels"]
    assert errors.shape == stds.shape == (6 * 2 * 13,)
    assert np.mean(np.abs(errors) <= 2 * stds) > 0.3


def test_the_error_bar_of_the_gap_is_that_of_a_small_change(carbenes):
    """Var gap = g^T V g with the gradient from finite differences of random changes of mean and half difference."""
    model, _ = fitted("lowdin", carbenes, with_bars(RIDGE))
    (prediction,) = model.predict(carbenes[0][18:19], std=True)
    rng, gaps = np.random.default_rng(0), []
    levels, gap = model.calibration_
    for _ in range(400):
        changed = [_drawn(v, rng) for v in prediction.covariances]
        from hamlearn.blocks import assemble_matrices

        small = [1e-3 * assemble_matrices(c, [prediction.numbers], prediction.basis)[0] for c in changed]
        moved = SpinPrediction.of_channels(
            prediction.numbers, prediction.channels + np.stack(small), None, prediction.n_occupied, prediction.basis
        )
        gaps.append(1e3 * (moved.gap_ev - prediction.gap_ev))
    assert prediction.gap_std_ev / gap == pytest.approx(np.std(gaps), rel=0.15)
    assert levels > 0


def _drawn(covariance, rng):
    from hamlearn.blocks import Blocks

    values = {
        key: rng.multivariate_normal(np.zeros(len(v)), v, method="eigh").reshape(-1, 2 * key.L + 1)
        for key, v in covariance.values.items()
    }
    return Blocks(covariance.samples, values)


def test_targets_and_models_on_disk(carbenes, tmp_path):
    model, targets = fitted("delta", carbenes)
    save_targets(tmp_path / "targets", targets)
    assert load_targets(tmp_path / "targets") == targets
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    ours, theirs = model.predict(carbenes[0][:1])[0], again.predict(carbenes[0][:1])[0]
    assert np.array_equal(ours.hamiltonian, theirs.hamiltonian)
    assert theirs.n_occupied == (4, 2)


def test_predictions_are_written_with_both_spins(carbenes, tmp_path):
    from hamlearn.workflow import predict

    model, _ = fitted("saph", carbenes)
    model.save(tmp_path / "model")
    (prediction,) = predict(tmp_path / "model", carbenes[0][:1], tmp_path / "out")
    with h5py.File(tmp_path / "out" / "hamiltonians.h5") as file:
        group = file["000000"]
        assert group["hamiltonian"].shape == (2, 6, 6)
        assert list(group["hamiltonian"].attrs["spins"]) == ["alpha", "beta"]
        assert np.array_equal(group["eigenvalues_ev"][()], prediction.eigenvalues_ev)
    written = ase.io.read(tmp_path / "out" / "predictions.extxyz")
    assert written.info["hamlearn_gap_ev"] == pytest.approx(prediction.gap_ev)
    assert written.info["hamlearn_beta_gap_ev"] == pytest.approx(prediction.beta.gap_ev)


def test_other_multiplicities_and_methods_are_refused(carbenes):
    any_state = UHF.model_copy(update={"multiplicity": None})
    said = [atoms.copy() for atoms in carbenes[0]]
    for atoms in said:
        atoms.info["multiplicity"] = 3
    targets = targets_of("saph", carbenes)
    model = HamiltonianModel(any_state, TARGETS["saph"], RIDGE).fit(said[:18], targets[:18])
    with pytest.raises(DomainError, match=r"trained on molecules of charge 0, multiplicity 3(.|\n)*multiplicity 1"):
        model.predict(carbenes[0][:1])
    with pytest.raises(ConfigError, match="target 0 has"):
        HamiltonianModel(any_state, TARGETS["saph"], RIDGE).fit(carbenes[0][:18], targets[:18])
    with pytest.raises(ConfigError, match=r"method UHF"):
        HamiltonianModel(QMSettings(basis="6-31G"), TARGETS["saph"], RIDGE).fit(carbenes[0][:18], targets[:18])


def test_no_electron_of_spin_beta():
    """H2+: an empty spin has no occupied level, and the gap goes from alpha to the lowest virtual of either spin."""
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1.06]])
    ion = UHF.model_copy(update={"multiplicity": 2, "charge": 1})
    record = run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, ion)
    for name in ("lowdin", "saph", "valence"):
        reference = reference_prediction(build_target(record, TARGETS[name]))
        assert reference.n_occupied == (1, 0)
        assert np.isnan(reference.beta.homo_ev) and np.isfinite(reference.gap_ev)
        assert reference.homo_ev == reference.alpha.homo_ev
    metric, baseline = predict_side(atoms.numbers, record.positions, ion, TARGETS["delta"])
    assert metric is None and baseline.shape == (2, 2, 2)


@pytest.mark.parametrize("name", ["saph", "valence", "delta", "minao"])
def test_levels_that_share_an_electron_are_kept_together(name):
    """OH: the half-filled pi level of spin beta is exact, and the matrix has the symmetry of the axis."""
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]])
    doublet = UHF.model_copy(update={"multiplicity": 2})
    record = run_scf(atoms.numbers, atoms.positions / BOHR_ANGSTROM, doublet, ("minao", "atom"))
    reference = reference_prediction(build_target(record, TARGETS[name]))
    exact = HARTREE_EV * record.orbital_energies[1, 1:5]
    assert np.abs(reference.beta.eigenvalues_ev[:4] - exact).max() < 1e-8
    assert np.ptp(reference.beta.eigenvalues_ev[2:4]) < 1e-8 and reference.gap_ev == pytest.approx(0, abs=1e-8)
