"""Properties by ridge regression of features: against explicit formulas, and exactly symmetric."""

import ase.io
import numpy as np
import pytest
from properties import labelled, molecules, target, values

import hamlearn
from hamlearn.config import FeatureSettings, RidgeSettings
from hamlearn.errors import ConfigError, DomainError
from hamlearn.model.property import PropertyModel
from hamlearn.observables.properties import property_metrics
from hamlearn.structures import invert, translate
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.targets.labels import read_labels
from hamlearn.testing import assert_equivariant

TRAIN, NEW = labelled(molecules(24)), labelled(molecules(8, seed=90))
FEATURES = FeatureSettings(max_l=3, max_n=3, cutoff_angstrom=4.0)
KINDS = [("energy", 0), ("dipole", 1), ("alpha", 2)]


def ridge(key="energy", l=0, sigma=1, features=FEATURES, **settings):
    return PropertyModel(target(key, l, sigma), RidgeSettings(features=features, **settings))


@pytest.fixture(scope="module")
def fitted():
    return {key: ridge(key, l).fit(TRAIN) for key, l in KINDS}


def summed_features(model, structures):
    """Features of the atoms of each element added up, one structure and one atom at a time [structure x m, feature]."""
    group, rows = model.task_.group, []
    for atoms in structures:
        found = model.learner_.featurizer_.features(Samples.of([atoms]))
        columns = []
        for z in model.elements_:
            own = found.terms(Family("on_site", z, z), group.irrep).tensor().numpy()  # [atom, m, feature]
            total = np.zeros(own.shape[1:])
            for atom in own:
                total = total + atom
            columns.append(total)
        rows.append(np.concatenate(columns, axis=1))
    return np.concatenate(rows)


@pytest.mark.parametrize(("key", "l"), KINDS)
def test_it_is_ridge_regression_on_sums_of_the_features_of_atoms(key, l, fitted):
    model = fitted[key]
    alpha = model.learner_.fits_[model.task_.group].posterior.alphas[0]
    baseline = [model.task_.baseline.values(some) for some in (TRAIN, NEW)]
    labels = read_labels(TRAIN, model.target).values.copy()
    labels[:, 0] -= baseline[0]
    x, x_new = summed_features(model, TRAIN), summed_features(model, NEW)
    assert x.shape == (len(TRAIN) * (2 * l + 1), len(model.learner_.fits_[model.task_.group].weights))
    # min |X w - y|^2 + alpha |w|^2
    stacked = np.vstack([x, np.sqrt(alpha) * np.eye(x.shape[1])])
    weights = np.linalg.lstsq(stacked, np.concatenate([labels.ravel(), np.zeros(x.shape[1])]), rcond=None)[0]
    expected = (x_new @ weights).reshape(len(NEW), -1)
    expected[:, 0] += baseline[1]
    found = model.task_.decode(model.learner_.predict(NEW, hamlearn.Job()), NEW)
    np.testing.assert_allclose(found, expected, atol=1e-6 * model.task_.scale)


@pytest.mark.parametrize(("key", "l"), KINDS)
def test_properties_are_learned_and_turn_with_the_molecule(key, l, fitted):
    model = fitted[key]
    errors = property_metrics(model.predict(NEW), read_labels(NEW, model.target), model.target)
    assert errors["value_rmse"] < 0.1 * errors["value_spread"]
    assert model.predict(NEW)[0].value.shape == (3,) * l
    assert_equivariant(model, NEW)
    moved = [translate(a, [3.0, -2.0, 1.0]) for a in NEW]
    np.testing.assert_allclose(values(model, moved), values(model, NEW), atol=1e-9 * model.task_.scale)


def test_more_structures_teach_more(fitted):
    few = ridge().fit(TRAIN[:8])
    errors = [property_metrics(m.predict(NEW), read_labels(NEW, m.target), m.target) for m in (few, fitted["energy"])]
    assert errors[0]["value_rmse"] > 2 * errors[1]["value_rmse"]


def test_axial_vectors_keep_their_sign_in_the_mirror():
    axial = [atoms.copy() for atoms in TRAIN[:16]]
    for atoms in axial:
        i, j = atoms.positions[1] - atoms.positions[0], atoms.positions[2] - atoms.positions[0]
        atoms.info["normal"] = np.cross(i, j) if len(atoms) == 3 else np.zeros(3)
    waters = [atoms for atoms in axial if len(atoms) == 3]
    model = ridge("normal", 1, -1).fit(waters)
    np.testing.assert_allclose(values(model, [invert(a) for a in NEW[::2]]), values(model, NEW[::2]), atol=1e-9)
    assert_equivariant(model, NEW[::2])


def test_error_bars_grow_with_the_distance_from_what_is_known(fitted):
    model = fitted["energy"]
    far = NEW[0].copy()
    far.set_distance(0, 1, 2.0, fix=0)
    stds = np.array([p.std for p in model.predict([*NEW, far], std=True)])
    assert (stds > 0).all() and stds[-1] > 3 * np.median(stds[:-1])
    errors = np.array([p.value for p in model.predict(NEW)]) - [a.info["energy"] for a in NEW]
    assert 0.1 < np.sqrt(np.mean((errors / stds[:-1]) ** 2)) < 10
    turned = [p.std for p in model.predict([invert(a) for a in NEW], std=True)]
    np.testing.assert_allclose(turned, stds[:-1], rtol=1e-6)


def test_error_bars_can_be_left_out(fitted):
    plain = ridge(error_bars=False).fit(TRAIN)
    np.testing.assert_allclose(values(plain, NEW), values(fitted["energy"], NEW), rtol=1e-12)
    with pytest.raises(ConfigError, match=r"fitted without error bars; set model\.error_bars: true and fit it again"):
        plain.predict(NEW, std=True)


@pytest.mark.parametrize("settings", [{}, {"max_features": 20}, {"max_features": 20, "features_by": "fps"}])
def test_loading_gives_the_same(settings, tmp_path, fitted):
    for key, l in KINDS:
        model = ridge(key, l, **settings).fit(TRAIN) if settings else fitted[key]
        model.save(tmp_path / key)
        loaded = hamlearn.load_model(tmp_path / key)
        assert loaded.predict(NEW, std=True) == model.predict(NEW, std=True)
        assert loaded.get_params() == model.get_params() and loaded.task_ == model.task_
        if settings:
            assert len(model.learner_.fits_[model.task_.group].weights) == 20
            assert_equivariant(model, NEW)


def test_memory_bounds_the_tiles_and_not_the_result(fitted):
    tight = ridge("dipole", 1, memory_gb=0.03).fit(TRAIN)
    np.testing.assert_allclose(values(tight, NEW), values(fitted["dipole"], NEW), atol=1e-6 * tight.task_.scale)
    with pytest.raises(ConfigError, match=r"more than memory_gb = 1e-05"):
        ridge("dipole", 1, memory_gb=1e-5).fit(TRAIN)


def test_structures_come_in_any_form(fitted, tmp_path):
    ase.io.write(tmp_path / "new.extxyz", NEW[0])
    expected = fitted["dipole"].predict(NEW[:1])
    assert fitted["dipole"].predict(NEW[0]) == expected
    (found,) = fitted["dipole"].predict(tmp_path / "new.extxyz")
    np.testing.assert_allclose(found.value, expected[0].value, atol=1e-5)
    alone = ridge().fit(TRAIN[0])
    assert alone.predict(TRAIN[0])[0].value == pytest.approx(TRAIN[0].info["energy"])


def test_what_features_do_not_offer_is_refused(fitted):
    for call, words in (
        (lambda: fitted["energy"].predict_parts(NEW), "model.kind ridge has no parts; those of kernels have"),
        (lambda: fitted["dipole"].predict(NEW, forces=True), "forces belong to energies"),
    ):
        with pytest.raises(ConfigError, match=words):
            call()
    assert fitted["energy"].hyperparameters_ == {}
    waters = ridge().fit([a for a in TRAIN if len(a) == 3])
    with pytest.raises(DomainError, match=r"structure 1 \(CH2O\): element C not in the training set"):
        waters.predict(NEW)
