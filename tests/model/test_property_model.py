from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import FIXED, SMALL, labelled, model, molecules

from hamlearn.config import ModelSettings, TargetSettings
from hamlearn.errors import ConfigError, DomainError, HamlearnWarning, StructureError
from hamlearn.learning.functionals import StructureBasis, structure_diagonal
from hamlearn.model.property import PropertyModel
from hamlearn.observables.properties import property_metrics
from hamlearn.structures import invert, random_rotation, read_structures, rotate, translate
from hamlearn.targets.labels import read_labels
from hamlearn.testing import TOLERANCE, assert_equivariant

EXACT, EQUIVARIANCE = TOLERANCE["float64"]["exact"], TOLERANCE["float64"]["equivariance"]
TRAIN, NEW = labelled(molecules(24)), labelled(molecules(6, seed=90))
WATERS = read_structures(Path(__file__).parents[2] / "data" / "water_properties.extxyz")


def values(model, structures):
    return np.array([p.value for p in model.predict(structures)])


@pytest.fixture(scope="module")
def with_forces():
    """Energy models that learned forces, by basis."""
    return {
        "sparse": model(forces=True, active=15).fit(TRAIN),
        "derivatives": model(forces=True, basis="derivatives").fit(TRAIN[:12]),
    }


# -- oracles


def test_full_basis_is_kernel_ridge_regression_of_sums_over_atoms():
    fitted = model().fit(TRAIN)
    kernel, mixture = fitted.kernel_, np.array([10.0, 1e4, 1e4 / 2, 1e4 / 6])
    env, new = (kernel.environments(s) for s in (TRAIN, NEW))
    k = np.einsum("p,pab->ab", mixture, kernel.between(env, env))
    k_new = np.einsum("p,pab->ab", mixture, kernel.between(new, env))
    energies = np.array([a.info["energy"] for a in TRAIN])
    counts = np.array([[np.sum(a.numbers == z) for z in (1, 6, 8)] for a in TRAIN + NEW])
    baseline = counts @ np.linalg.lstsq(counts[:24], energies, rcond=None)[0]
    y = energies - baseline[:24]
    s = y.std()
    expected = baseline[24:] + s * k_new @ np.linalg.solve(k + np.eye(24), y / s)
    np.testing.assert_allclose(values(fitted, NEW), expected, rtol=1e-10)


@pytest.mark.parametrize(("key", "l"), [("energy", 0), ("dipole", 1)])
def test_a_sparse_basis_of_all_environments_is_the_full_one(key, l):
    sparse = model(key, l, basis="sparse").fit(TRAIN)
    hyper = {name: sparse.hyperparameters_[name] for name in ("a", "b", "c0")}
    full = model(key, l, kernel=SMALL.model_copy(update=hyper)).fit(TRAIN)
    np.testing.assert_allclose(sparse.solution_.mixture, full.solution_.mixture, rtol=1e-12)
    np.testing.assert_allclose(values(sparse, NEW), values(full, NEW), atol=1e-7 * full.scale_)
    stds = [[p.std / m.solution_.amplitude**0.5 for p in m.predict(NEW, std=True)] for m in (sparse, full)]
    np.testing.assert_allclose(*stds, rtol=1e-4)


def test_forces_without_weight_change_nothing():
    joint = model(forces=True, basis="derivatives", force_weight=1e-25).fit(TRAIN[:8])
    hyper = {name: joint.hyperparameters_[name] for name in ("a", "b", "c0")}
    alone = model(kernel=SMALL.model_copy(update=hyper)).fit(TRAIN[:8])
    np.testing.assert_allclose(values(joint, NEW), values(alone, NEW), atol=1e-8 * alone.scale_)


def test_uncertainty_is_that_of_a_gaussian_process():
    fitted = model().fit(TRAIN)
    mixture = fitted.solution_.mixture
    basis = StructureBasis(fitted.kernel_, TRAIN, (0, 1))
    rows = basis.values(fitted.kernel_.environments(NEW), mixture)
    inverse = np.linalg.inv(basis.gram(mixture) + np.eye(len(TRAIN)))
    prior = structure_diagonal(fitted.kernel_, NEW, (0, 1), mixture)
    variance = prior - np.einsum("ia,ab,ib->i", rows, inverse, rows) + 1.0
    stds = [p.std for p in fitted.predict(NEW, std=True)]
    np.testing.assert_allclose(stds, fitted.scale_ * np.sqrt(fitted.solution_.amplitude * variance), rtol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"basis": "full"}, {"active": 30}, {"active": 60}, {"active": 60, "forces": True}, {"active": None}]
)
def test_uncertainty_covers_the_errors(settings):
    """Energies of water: two thirds of the errors within one standard deviation, nearly all within two."""
    forces = "forces_ev_angstrom" if settings.get("forces") else None
    target = TargetSettings(kind="property", key="energy_ev", forces_key=forces)
    chosen = {"basis": "sparse"} | {name: value for name, value in settings.items() if name != "forces"}
    kernel = SMALL.model_copy(update={"max_channels": 48, "smearing_angstrom": 0.3})
    fitted = PropertyModel(target, kernel, ModelSettings(kind="kernel", folds=5, **chosen)).fit(WATERS[:60])
    predicted = fitted.predict(WATERS[100:], std=True)
    ratio = np.abs([(p.value - a.info["energy_ev"]) / p.std for p, a in zip(predicted, WATERS[100:], strict=True)])
    assert 0.5 < np.sqrt(np.mean(ratio**2)) < 2.0
    assert 0.5 < np.mean(ratio < 1) < 0.95
    assert np.mean(ratio < 2) > 0.8


# -- learning


def test_more_structures_and_forces_teach_more(with_forces):
    labels = read_labels(NEW, with_forces["sparse"].target)
    few, many = (model(kernel=SMALL).fit(TRAIN[:n]) for n in (8, 24))
    joint = model(forces=True, kernel=SMALL, active=30).fit(TRAIN)
    errors = [property_metrics(m.predict(NEW, forces=True), labels, m.target) for m in (few, many, joint)]
    assert errors[0]["value_rmse"] > 2 * errors[1]["value_rmse"] > 4 * errors[2]["value_rmse"]
    assert errors[1]["force_rmse"] > 3 * errors[2]["force_rmse"]
    assert errors[2]["value_rmse"] < 0.02 * errors[2]["value_spread"]


@pytest.mark.parametrize(("key", "l", "bound"), [("dipole", 1, 0.05), ("alpha", 2, 0.05), ("alpha", 0, 0.1)])
def test_vectors_and_tensors_are_learned(key, l, bound):
    fitted = model(key, l, kernel=SMALL, folds=4).fit(TRAIN)
    errors = property_metrics(fitted.predict(NEW), read_labels(NEW, fitted.target), fitted.target)
    assert errors["value_rmse"] < bound * errors["value_spread"]
    assert fitted.predict(NEW)[0].value.shape == (3,) * l


def test_a_pseudoscalar_changes_sign_in_the_mirror_and_vanishes_for_planar_molecules(hydrogen_peroxide):
    rng = np.random.default_rng(3)
    shapes = [hydrogen_peroxide.copy() for _ in range(30)]
    for atoms in shapes:
        atoms.positions += rng.normal(scale=0.2, size=(4, 3))
    fitted = model("handedness", 0, -1, kernel=FIXED.model_copy(update={"max_nu": 4})).fit(labelled(shapes[:25]))
    own, mirrored = values(fitted, shapes[25:]), values(fitted, [invert(a) for a in shapes[25:]])
    np.testing.assert_allclose(own, -mirrored, atol=EQUIVARIANCE * fitted.scale_)
    assert np.corrcoef(own, [a.info["handedness"] for a in labelled(shapes[25:])])[0, 1] > 0.8
    flat = hydrogen_peroxide.copy()
    flat.positions[:, 2] = 0.0
    assert abs(values(fitted, [flat])[0]) < EQUIVARIANCE * fitted.scale_


def test_equal_values_are_learned_as_they_are():
    structures = molecules(6)
    for atoms in structures:
        atoms.info["energy"] = 3.0
    fitted = PropertyModel(TargetSettings(kind="property", key="energy", baseline="mean"), SMALL).fit(structures)
    np.testing.assert_allclose(values(fitted, NEW), 3.0)


# -- symmetry


@pytest.mark.parametrize(("key", "l"), [("energy", 0), ("dipole", 1), ("alpha", 2)])
@pytest.mark.parametrize("basis", ["full", "sparse"])
def test_values_turn_with_the_molecule(key, l, basis):
    fitted = model(key, l, basis=basis).fit(TRAIN[:12])
    assert_equivariant(fitted, NEW)
    np.testing.assert_allclose(
        values(fitted, [translate(a, [3.0, -2.0, 1.0]) for a in NEW]), values(fitted, NEW), atol=1e-9 * fitted.scale_
    )


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=5, deadline=None, derandomize=True)
def test_training_molecules_may_be_turned(seed, improper):
    rng = np.random.default_rng(seed)
    turned = labelled([rotate(a, random_rotation(rng, improper)) for a in TRAIN[:8]])
    plain, other = (model("dipole", 1).fit(some) for some in (TRAIN[:8], turned))
    np.testing.assert_allclose(values(plain, NEW[:2]), values(other, NEW[:2]), atol=1e-8 * plain.scale_)


@pytest.mark.parametrize("basis", ["sparse", "derivatives"])
def test_forces_turn_with_the_molecule(with_forces, basis):
    assert_equivariant(with_forces[basis], NEW, tolerance=1e-8)


# -- forces


@pytest.mark.parametrize("basis", ["full", "sparse", "derivatives"])
def test_forces_are_minus_the_gradient(with_forces, basis):
    fitted = with_forces.get(basis) or model().fit(TRAIN[:10])
    h = 1e-4
    for atoms, predicted in zip(NEW[:2], fitted.predict(NEW[:2], forces=True), strict=True):
        moved = []
        for shift in (h, -h):
            for k in range(3 * len(atoms)):
                moved.append(atoms.copy())
                moved[-1].positions.flat[k] += shift
        up, down = np.split(values(fitted, moved), 2)
        np.testing.assert_allclose(predicted.forces.ravel(), -(up - down) / (2 * h), atol=1e-6)


@pytest.mark.parametrize("basis", ["sparse", "derivatives"])
def test_total_force_and_torque_vanish(with_forces, basis):
    for atoms, predicted in zip(NEW, with_forces[basis].predict(NEW, forces=True), strict=True):
        assert np.abs(predicted.forces.sum(axis=0)).max() < 1e-8
        assert np.abs(np.cross(atoms.positions, predicted.forces).sum(axis=0)).max() < 1e-8
        assert np.abs(predicted.forces).max() > 0.1


def test_forces_and_uncertainty_do_not_change_values(with_forces):
    for fitted in with_forces.values():
        both = fitted.predict(NEW, forces=True, std=True)
        np.testing.assert_allclose([p.value for p in both], values(fitted, NEW), rtol=1e-9)
        assert all(p.std > 0 for p in both)


# -- choices


def test_given_hyperparameters_are_kept_and_others_found():
    fitted = model(kernel=SMALL.model_copy(update={"b": 3.0})).fit(TRAIN)
    assert fitted.hyperparameters_["b"] == 3.0
    assert fitted.hyperparameters_["a"] > 10
    annealed = model(kernel=SMALL.model_copy(update={"b": 3.0}), optimise="annealing", loss="mae").fit(TRAIN[:10])
    assert annealed.hyperparameters_["b"] == pytest.approx(3.0, abs=1e-8)


def test_active_environments_by_element():
    fitted = model(basis="sparse", active={"H": 5, "C": 2, "O": 400}).fit(TRAIN)
    assert {z: len(rows) for z, rows in fitted.basis_.rows.items()} == {1: 5, 6: 2, 8: 24}
    assert len(fitted.solution_.weights) == 31


def test_repeated_structures_are_no_trouble():
    fitted = model(basis="sparse", active=4, forces=True).fit([*TRAIN[:2]] * 3)
    assert np.isfinite(values(fitted, NEW)).all()
    assert len(fitted.solution_.weights) <= 4 * 3


@pytest.mark.parametrize("solver", ["normal", "rkhs", "qr"])
@pytest.mark.parametrize(("key", "l"), [("energy", 0), ("dipole", 1)])
def test_solvers_agree(solver, key, l):
    """On a well-conditioned kernel; also on the uncertainty."""
    kernel = SMALL.model_copy(update={"a": 10.0, "b": 1.0, "c0": 1.0})
    default, other = (model(key, l, kernel=kernel, active=8, solver=s).fit(TRAIN) for s in ("rkhs-qr", solver))
    np.testing.assert_allclose(values(other, NEW), values(default, NEW), atol=1e-8 * default.scale_)
    stds = [[p.std for p in m.predict(NEW, std=True)] for m in (default, other)]
    np.testing.assert_allclose(*stds, rtol=1e-6)
    assert (other.solution_.weights != default.solution_.weights).any()


@pytest.mark.parametrize("kind", ["order", "soap"])
def test_other_kernels(kind):
    kernel = SMALL.model_copy(update={"kind": kind, "max_nu": 2, "zeta": 2})
    fitted = model(kernel=kernel).fit(TRAIN)
    errors = property_metrics(fitted.predict(NEW), read_labels(NEW, fitted.target), fitted.target)
    assert errors["value_rmse"] < 0.3 * errors["value_spread"]


# -- bad input


def test_what_does_not_fit_together_is_refused():
    soap = SMALL.model_copy(update={"kind": "soap"})
    refusals = [
        (lambda: model(forces=True, kernel=soap).fit(TRAIN), "kernel.kind soap"),
        (lambda: model(forces=True, basis="full").fit(TRAIN), "model.basis full learns no forces"),
        (lambda: model(basis="derivatives").fit(TRAIN), "derivatives needs forces"),
        (lambda: model(basis="sparse", active={"H": 3, "Xy": 4}).fit(TRAIN), "element 'Xy'"),
        (lambda: model(basis="sparse", active={"H": 3}).fit(TRAIN), "says nothing of C, O"),
        (lambda: model().fit(TRAIN[:1]), "needs 2"),
        (lambda: model(kernel=soap).fit(TRAIN[:4]).predict(NEW, forces=True), "have no derivatives"),
        (lambda: model("dipole", 1).fit(TRAIN[:4]).predict(NEW, forces=True), "forces belong to energies"),
        (lambda: PropertyModel(TargetSettings()), "target.kind saph"),
        (lambda: PropertyModel(TargetSettings(kind="property", key="x"), SMALL, ModelSettings()), "model.kind ridge"),
    ]
    for call, words in refusals:
        with pytest.raises(ConfigError, match=words):
            call()


@pytest.mark.parametrize("basis", ["full", "sparse"])
def test_kernels_that_are_zero_by_symmetry_are_refused(basis):
    """Water is planar: nothing that is odd in the mirror."""
    kernel = SMALL.model_copy(update={"max_nu": 3})
    waters = [a for a in TRAIN if len(a) == 3]
    with pytest.raises(ConfigError, match="l 0, sigma -1 vanish for all training structures"):
        model("handedness", 0, -1, kernel=kernel, basis=basis).fit(waters)


def test_learning_nothing_is_said():
    rng = np.random.default_rng(0)
    noise = molecules(24)
    for atoms in noise:
        atoms.info["energy"] = rng.normal()
    with pytest.warns(HamlearnWarning, match="nothing was learned"):
        fitted = model(kernel=SMALL.model_copy(update={"a": 1e6, "b": 1.0})).fit(noise)
    assert fitted.hyperparameters_["cv_error"] > 1


def test_models_that_were_not_fitted_are_refused(tmp_path):
    unfitted = model()
    for call in (
        lambda: unfitted.predict(NEW),
        lambda: unfitted.predict_parts(NEW),
        lambda: unfitted.save(tmp_path / "model"),
    ):
        with pytest.raises(ConfigError, match="not fitted; call fit first"):
            call()
    assert not (tmp_path / "model").exists()


def test_a_derivative_basis_that_does_not_fit_into_memory_is_refused():
    with pytest.raises(ConfigError, match=r"derivatives needs .* GB for 24 structures .*more than memory_gb = 0.001"):
        model(forces=True, basis="derivatives", memory_gb=0.001).fit(TRAIN)


def test_unknown_elements_are_refused_with_their_places():
    fitted = model().fit(TRAIN[:4])
    with pytest.raises(DomainError, match=r"structure 1 \(H2S\): element S not in the training set"):
        fitted.predict([NEW[0], Atoms("SH2", [[0, 0, 0], [1, 0, 0], [0, 1, 0]])])


def test_unusable_geometries_and_labels_are_refused():
    with pytest.raises(StructureError, match="no structures"):
        model().fit([])
    with pytest.raises(StructureError, match="key 'dipol' is missing"):
        model("dipol", 1).fit(TRAIN)


def test_memory_bounds_the_tiles_and_not_the_result():
    plain = model(forces=True, active=10).fit(TRAIN)
    tight = model(forces=True, active=10, memory_gb=0.002).fit(TRAIN)
    np.testing.assert_allclose(values(plain, NEW), values(tight, NEW), atol=1e-8 * plain.scale_)
