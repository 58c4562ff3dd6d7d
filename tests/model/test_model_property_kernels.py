"""Properties by kernel regression: explicit formulas, bases, solvers, error bars, and settings chosen on a grid."""

from pathlib import Path

import numpy as np
import pytest
from properties import FIXED, SMALL, labelled, model, molecules, values

import hamlearn
from hamlearn.config import KernelRidgeSettings, PropertyTarget, build_config
from hamlearn.errors import ConfigError, HamlearnWarning
from hamlearn.job import Job
from hamlearn.learning.bases import Basis, self_kernels_of
from hamlearn.learning.choice import grid_of
from hamlearn.model.property import PropertyModel
from hamlearn.observables.properties import property_metrics
from hamlearn.structures import read_structures
from hamlearn.targets.labels import read_labels

TRAIN, NEW = labelled(molecules(24)), labelled(molecules(5, seed=90))
WATERS = read_structures(Path(__file__).parents[2] / "data" / "water_properties.extxyz")
MIXTURE = ("a", "b", "c0")


def changed(**settings):
    return SMALL.model_copy(update=settings)


def stds(fitted):
    return np.array([p.std for p in fitted.predict(NEW, std=True)])


def amplitude(fitted):
    return fitted.learner_.fit_.posterior.scales[0]


@pytest.fixture(scope="module")
def full():
    """Energies in the full basis, with given hyperparameters."""
    return model().fit(TRAIN)


# -- oracles


def test_full_basis_is_kernel_ridge_regression_of_sums_over_atoms(full):
    kernel, mixture = full.learner_.kernel_, np.array([10.0, 1e4, 1e4 / 2, 1e4 / 6])
    env, new = (kernel.environments(s) for s in (TRAIN, NEW))
    k = np.einsum("p,pab->ab", mixture, kernel.between(env, env))
    k_new = np.einsum("p,pab->ab", mixture, kernel.between(new, env))
    energies = np.array([a.info["energy"] for a in TRAIN])
    counts = np.array([[np.sum(a.numbers == z) for z in (1, 6, 8)] for a in TRAIN + NEW])
    baseline = counts @ np.linalg.lstsq(counts[:24], energies, rcond=None)[0]
    y = energies - baseline[:24]
    s = y.std()
    expected = baseline[24:] + s * k_new @ np.linalg.solve(k + np.eye(24), y / s)
    np.testing.assert_allclose(values(full, NEW), expected, rtol=1e-10)


@pytest.mark.parametrize(("key", "l"), [("energy", 0), ("dipole", 1)])
def test_a_sparse_basis_of_all_environments_is_the_full_one(key, l):
    sparse = model(key, l, basis="sparse").fit(TRAIN)
    hyper = {name: sparse.hyperparameters_[name] for name in MIXTURE}
    full = model(key, l, kernel=changed(**hyper)).fit(TRAIN)
    np.testing.assert_allclose(sparse.learner_.fit_.mixture, full.learner_.fit_.mixture, rtol=1e-12)
    np.testing.assert_allclose(values(sparse, NEW), values(full, NEW), atol=1e-7 * full.task_.scale)
    relative = [stds(fitted) / amplitude(fitted) ** 0.5 for fitted in (sparse, full)]
    np.testing.assert_allclose(*relative, rtol=1e-4)


def test_forces_without_weight_change_nothing():
    target = PropertyTarget(key="energy", forces_key="forces", force_weight=1e-25)
    joint = PropertyModel(target, KernelRidgeSettings(kernel=FIXED, basis="derivatives")).fit(TRAIN[:8])
    hyper = {name: joint.hyperparameters_[name] for name in MIXTURE}
    alone = model(kernel=changed(**hyper)).fit(TRAIN[:8])
    np.testing.assert_allclose(values(joint, NEW), values(alone, NEW), atol=1e-8 * alone.task_.scale)


def test_uncertainty_is_that_of_a_gaussian_process(full):
    learner, mixture = full.learner_, full.learner_.fit_.mixture
    basis = Basis("full", learner.kernel_, TRAIN, (0, 1))
    rows = basis.values(learner.kernel_.environments(NEW), mixture)
    inverse = np.linalg.inv(basis.gram(mixture) + np.eye(len(TRAIN)))
    prior = np.ravel(self_kernels_of(learner.kernel_, NEW, (0, 1), mixture))
    variance = prior - np.einsum("ia,ab,ib->i", rows, inverse, rows) + 1.0
    expected = full.task_.scale * np.sqrt(amplitude(full) * variance)
    np.testing.assert_allclose(stds(full), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"basis": "full"}, {"active": 30}, {"active": 60}, {"active": 60, "forces": True}, {"active": None}]
)
def test_uncertainty_covers_the_errors(settings):
    """Energies of water: two thirds of the errors within one standard deviation, nearly all within two."""
    forces = "forces_ev_angstrom" if settings.get("forces") else None
    chosen = {"basis": "sparse"} | {name: value for name, value in settings.items() if name != "forces"}
    learner = KernelRidgeSettings(kernel=changed(max_channels=48, smearing_angstrom=0.3), folds=5, **chosen)
    fitted = PropertyModel(PropertyTarget(key="energy_ev", forces_key=forces), learner).fit(WATERS[:60])
    predicted = fitted.predict(WATERS[100:], std=True)
    ratio = np.abs([(p.value - a.info["energy_ev"]) / p.std for p, a in zip(predicted, WATERS[100:], strict=True)])
    assert 0.5 < np.sqrt(np.mean(ratio**2)) < 2.0
    assert 0.5 < np.mean(ratio < 1) < 0.95
    assert np.mean(ratio < 2) > 0.8


def test_error_bars_can_be_left_out(full, tmp_path):
    plain = model(error_bars=False).fit(TRAIN)
    assert not plain.has_error_bars and full.has_error_bars
    np.testing.assert_allclose(values(plain, NEW), values(full, NEW), rtol=1e-12)
    plain.save(tmp_path / "model")
    for without in (plain, hamlearn.load_model(tmp_path / "model")):
        with pytest.raises(ConfigError, match=r"fitted without error bars; set model\.error_bars: true"):
            without.predict(NEW, std=True)


# -- choices


def test_given_hyperparameters_are_kept_and_others_found():
    fitted = model(kernel=changed(b=3.0)).fit(TRAIN)
    assert fitted.hyperparameters_["b"] == 3.0
    assert fitted.hyperparameters_["a"] > 10
    annealed = model(kernel=changed(b=3.0), optimise="annealing", loss="mae").fit(TRAIN[:10])
    assert annealed.hyperparameters_["b"] == pytest.approx(3.0, abs=1e-8)


@pytest.mark.parametrize("settings", [{"basis": "sparse", "active": 15}, {"forces": True, "basis": "derivatives"}])
def test_given_hyperparameters_are_kept(settings):
    fitted = model(kernel=FIXED, **settings).fit(TRAIN[:10])
    for name in MIXTURE:
        assert fitted.hyperparameters_[name] == pytest.approx(getattr(FIXED, name), rel=1e-12)


def test_active_environments_by_element():
    fitted = model(basis="sparse", active={"H": 5, "C": 2}).fit(TRAIN)
    assert {z: len(rows) for z, rows in fitted.learner_.basis_.rows.items()} == {1: 5, 6: 2, 8: 24}
    assert len(fitted.learner_.fit_.weights) == 31


def test_repeated_structures_are_no_trouble():
    fitted = model(basis="sparse", active=4, forces=True).fit([*TRAIN[:2]] * 3)
    assert np.isfinite(values(fitted, NEW)).all()
    assert len(fitted.learner_.fit_.weights) <= 4 * 3


@pytest.mark.parametrize(("key", "l"), [("energy", 0), ("dipole", 1)])
def test_solvers_agree(key, l):
    """On a well-conditioned kernel; also on the uncertainty."""
    kernel = changed(a=10.0, b=1.0, c0=1.0)
    default = model(key, l, kernel=kernel, active=8).fit(TRAIN)
    for solver in ("normal", "rkhs", "qr"):
        other = model(key, l, kernel=kernel, active=8, solver=solver).fit(TRAIN)
        np.testing.assert_allclose(values(other, NEW), values(default, NEW), atol=1e-8 * default.task_.scale)
        np.testing.assert_allclose(stds(default), stds(other), rtol=1e-6)
        assert (other.learner_.fit_.weights != default.learner_.fit_.weights).any()


@pytest.mark.parametrize("kind", ["order", "soap"])
def test_other_kernels(kind):
    fitted = model(kernel=changed(kind=kind, max_nu=2, zeta=2)).fit(TRAIN)
    errors = property_metrics(fitted.predict(NEW), read_labels(NEW, fitted.target), fitted.target)
    assert errors["value_rmse"] < 0.3 * errors["value_spread"]


@pytest.mark.parametrize("settings", [{}, {"basis": "sparse", "active": 15}, {"key": "dipole", "l": 1}])
def test_parts_add_up_to_the_prediction(settings):
    fitted = model(**settings).fit(TRAIN)
    parts, baseline = fitted.predict_parts(NEW), fitted.task_.baseline.values(NEW)
    total = parts.sum(0)
    total[:, 0] += baseline
    expected = values(fitted, NEW).reshape(len(NEW), -1)
    own = total[:, [2, 0, 1]] if "key" in settings else total  # (y, z, x) to (x, y, z)
    np.testing.assert_allclose(own, expected, atol=1e-9 * fitted.task_.scale)
    assert all(np.abs(part).max() > 0 for part in parts[1:])


def test_memory_bounds_the_tiles_and_not_the_result():
    plain = model(forces=True, active=10).fit(TRAIN)
    tight = model(forces=True, active=10, memory_gb=0.002).fit(TRAIN)
    np.testing.assert_allclose(values(plain, NEW), values(tight, NEW), atol=1e-8 * plain.task_.scale)


def test_learning_nothing_is_said():
    rng = np.random.default_rng(0)
    noise = molecules(24)
    for atoms in noise:
        atoms.info["energy"] = rng.normal()
    with pytest.warns(HamlearnWarning, match="nothing was learned"):
        fitted = model(kernel=changed(a=1e6, b=1.0)).fit(noise)
    assert fitted.hyperparameters_["cv_error"] > 1


# -- settings chosen on a grid


def test_candidates_are_all_combinations():
    grid = {"smearing_angstrom": (0.1, 0.4), "smearing_growth_angstrom": (None, 2.0), "max_nu": (2, 3)}
    options = grid_of(changed(grid=grid))
    assert len({(o.smearing_angstrom, o.smearing_growth_angstrom, o.max_nu) for o in options}) == 8
    assert all(o.grid is None and o.max_l == SMALL.max_l for o in options)


def test_values_of_a_grid_are_checked_one_by_one():
    with pytest.raises(ConfigError, match=r"kernel\.grid: smearing_angstrom: must be larger than 0"):
        grid_of(changed(grid={"smearing_angstrom": (-1.0,)}))


def test_the_grid_finds_the_smallest_cross_validated_error_and_its_choice_is_saved(tmp_path):
    """A cut-off too short to see any neighbour cannot be chosen."""
    lines = []
    kernel = changed(grid={"cutoff_angstrom": (0.8, 4.0), "smearing_angstrom": (0.4, 0.2)})
    fitted = model(kernel=kernel).fit(TRAIN, job=Job(echo=lines.append))
    chosen = fitted.learner_.kernel
    assert chosen.cutoff_angstrom == 4.0 and chosen.grid is None
    assert fitted.model.kernel == kernel and fitted.learner_.chosen() == fitted.model.model_copy(
        update={"kernel": chosen, "error_bars": True}
    )
    errors = [model(kernel=option).fit(TRAIN).hyperparameters_["cv_error"] for option in grid_of(kernel)]
    assert fitted.hyperparameters_["cv_error"] == min(errors)
    assert sum(line.startswith("model.kernel.grid: ") for line in lines) == 4
    expected = "model.kernel.grid: cutoff_angstrom 0.8, smearing_angstrom 0.4: cross-validated rmse in spreads "
    assert lines[0].startswith(expected)
    fitted.save(tmp_path / "model")
    again = hamlearn.load_model(tmp_path / "model")
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert f"smearing_angstrom {chosen.smearing_angstrom}, smearing_growth_angstrom none" in card
    assert f"Cross-validated error: {fitted.hyperparameters_['cv_error']:.3g}" in card
    assert again.learner_.kernel == chosen and again.model == fitted.model
    assert again.predict(NEW)[0].value == fitted.predict(NEW)[0].value


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"backend": [1]}, "grid names backend"),
        ({"smearing_angstrom": []}, "is empty"),
        ({"smearing_angstrom": ["wide"]}, "expected a number"),
        (3, r"model.kernel.grid: expected lists of values by setting, such as .*, got 3"),
        ({"smearing_angstrom": 0.3}, "expected lists of values by setting"),
    ],
)
def test_bad_grids_are_refused(grid, message):
    settings = {
        "structures": {"file": "x.xyz"},
        "target": {"kind": "property", "key": "energy"},
        "model": {"kernel": {"grid": grid}},
        "split": {"train": 1, "test": 0},
    }
    with pytest.raises(ConfigError, match=message):
        build_config(settings)
