"""Ridge regression of features as a learner of blocks and of sums."""

import numpy as np
import pytest
from ase import Atoms
from noisy_waters import Known

from hamlearn.config import FeatureSettings, RidgeSettings, WignerSettings
from hamlearn.errors import ConfigError, DomainError, HamlearnWarning
from hamlearn.job import SILENT, Job
from hamlearn.learning import ridge
from hamlearn.learning.feature_rows import FeatureRows
from hamlearn.learning.groups import Group
from hamlearn.learning.ridge import RidgeLearner
from hamlearn.structures.families import Family
from hamlearn.testing.exact_problems import PropertyProblem, small_molecules
from hamlearn.testing.learner_contract import LearnerContract

SMALL = FeatureSettings(max_l=3, max_n=3)
PLAIN = RidgeSettings(features=SMALL)
N = 30


TINY = FeatureSettings(max_l=2, max_n=2)


class TestRidgeOfMatrices(LearnerContract):
    settings = RidgeSettings(features=TINY)


class TestRidgeOfScalars(LearnerContract):
    settings = RidgeSettings(features=TINY)
    problem = PropertyProblem()


class TestRidgeOfTensors(LearnerContract):
    settings = RidgeSettings(features=TINY)
    problem = PropertyProblem(l=2)


class TestRidgeOnSomeFeatures(LearnerContract):
    settings = RidgeSettings(features=TINY, max_features=20, features_by="fps")
    problem = PropertyProblem(l=1)


@pytest.fixture(scope="module")
def known(waters, water_lowdin):
    matrices, orbitals = water_lowdin
    return Known.of(waters[:N], matrices[:N], orbitals)


@pytest.fixture(scope="module")
def truth(waters, water_lowdin):
    matrices, orbitals = water_lowdin
    new = Known.of(waters[N:], matrices[N:], orbitals)
    return new.data.values


@pytest.fixture(scope="module")
def fitted(known):
    return RidgeLearner(PLAIN).fit(known.structures, known.data, SILENT)


@pytest.fixture(scope="module")
def predicted(fitted, waters):
    return fitted.predict(waters[N:], SILENT).values()


def test_predicts_new_blocks(predicted, truth):
    assert predicted.keys() == truth.keys()
    for group, values in truth.items():
        spread = np.sqrt((values**2).mean(axis=0))
        errors = np.sqrt(((predicted[group] - values) ** 2).mean(axis=0))
        assert (errors < np.maximum(0.05 * spread, 1e-6)).all(), group


def test_cross_validated_error_is_honest(fitted, predicted, truth):
    """The error estimated inside the training set is the order of the error outside."""
    group = Group((Family("cross", 1, 8),), 1, 1)
    outside = ((predicted[group] - truth[group]) ** 2).mean(axis=0)
    inside = fitted.fits_[group].cv_mse
    assert ((inside / 30 < outside) & (outside < 30 * inside)).all()


@pytest.mark.parametrize("family", [Family("on_site", 8, 8), Family("cross", 1, 8)])
def test_weights_are_those_of_least_squares_with_a_regulariser(known, fitted, waters, family):
    """Of all rows, for the alphas that were chosen, in units of the mean square of a row."""
    group = Group((family,), 1, 1)
    x, y = FeatureRows(fitted.featurizer_, known.structures, {}).matrix(group), known.data.rows(group)
    new = FeatureRows(fitted.featurizer_, waters[N:], {})
    root, q = np.sqrt((x**2).sum() / len(x)), x.shape[1]
    for target, alpha in enumerate(fitted.regularisation()[group]):
        padded = np.vstack([x, np.sqrt(alpha) * root * np.eye(q)])
        w = np.linalg.lstsq(padded, np.concatenate([y[:, target], np.zeros(q)]), rcond=None)[0]
        found = new.project(group, fitted.fits_[group].weights)[:, target]
        np.testing.assert_allclose(found, new.matrix(group) @ w, atol=1e-6 * np.abs(y).max())


def test_tiles_change_nothing_but_rounding(waters, known, fitted, predicted):
    tight = RidgeLearner(PLAIN.model_copy(update={"memory_gb": 0.004})).fit(known.structures, known.data, SILENT)
    tiles = [len(list(learner._budget.tiles(waters, list(learner.fits_)))) for learner in (tight, fitted)]
    assert tiles[0] > tiles[1]
    for group, values in tight.predict(waters[N:], SILENT).values().items():
        np.testing.assert_allclose(values, predicted[group], atol=1e-9)


def test_order_of_the_training_set_hardly_matters(waters, water_lowdin, predicted, truth):
    """Folds are dealt out at random: sorted or interleaved sets do not leave one kind to one fold."""
    matrices, orbitals = water_lowdin
    order = np.argsort([a.get_distance(0, 1) for a in waters[:N]])
    sorted_waters = Known.of([waters[k] for k in order], [matrices[k] for k in order], orbitals)
    other = RidgeLearner(PLAIN).fit(sorted_waters.structures, sorted_waters.data, SILENT)
    for values in (other.predict(waters[N:], SILENT).values(), predicted):
        assert sum(((values[group] - v) ** 2).sum() for group, v in truth.items()) < 2e-3


def test_too_little_memory_is_said(known):
    with pytest.raises(ConfigError, match=r"raise memory_gb, lower model.features.max_n or max_l, or set model.max"):
        RidgeLearner(PLAIN.model_copy(update={"memory_gb": 1e-4})).fit(known.structures, known.data, SILENT)


def test_a_refused_fit_is_no_fit(known):
    learner = RidgeLearner(PLAIN.model_copy(update={"memory_gb": 1e-4}))
    with pytest.raises(ConfigError, match="raise memory_gb"):
        learner.fit(known.structures, known.data, SILENT)
    with pytest.raises(ConfigError, match="was not fitted"):
        learner.predict(known.structures[:1], SILENT)


def test_blocks_no_feature_reaches_are_told(known):
    settings = RidgeSettings(features=FeatureSettings(max_l=1, max_n=2, max_nu_centre=1))
    with pytest.warns(HamlearnWarning, match="no feature reaches blocks of L = 2.*raise model.features.max_l"):
        RidgeLearner(settings).fit(known.structures, known.data, SILENT)


def test_one_structure_is_reproduced(waters, water_lowdin):
    matrices, orbitals = water_lowdin
    one = Known.of(waters[:1], matrices[:1], orbitals)
    predicted = RidgeLearner(PLAIN).fit(one.structures, one.data, SILENT).predict(waters[:1], SILENT).values()
    for group, values in one.data.values.items():
        np.testing.assert_allclose(predicted[group], values, atol=1e-6)


def test_pairs_that_did_not_occur_are_refused(fitted, waters):
    oxygen = Atoms("OO", [[0, 0, 0], [0, 0, 1.2]])
    with pytest.raises(DomainError, match=r"structure 1 \(O2\): pair O-O not in the training set"):
        fitted.predict([waters[0], oxygen, waters[1]], SILENT)


def test_pairs_beyond_the_cutoff_are_zero(known, fitted):
    far = Atoms("OHH", [[0, 0, 0], [0.9, 0, 0.3], [0, 0, 7.0]])
    predicted = known.blocks(fitted, [far])
    beyond = predicted.samples[Family("cross", 1, 8)][:, 1] == 2
    for key, values in predicted.values.items():
        if key.kind == "cross":
            assert not values[beyond].any() and values[~beyond].any()


def test_progress_and_time_are_told(known):
    """Steps of every lot of groups are counted; features take some of the time."""
    told = []
    learner = RidgeLearner(PLAIN).fit(known.structures, known.data, Job(echo=told.append, label="waters"))
    assert told and all(line.startswith("waters, steps: ") for line in told)
    assert learner.feature_seconds_ > 0


@pytest.mark.parametrize("by", ["cur", "fps"])
def test_some_features_are_kept_of_each_symmetry(known, waters, truth, by):
    """Those that scalar products choose; predictions of a few are those of the weights on them."""
    settings = RidgeSettings(features=SMALL, max_features=12, features_by=by)
    learner = RidgeLearner(settings).fit(known.structures, known.data, SILENT)
    sizes = {group: len(fit.weights) for group, fit in learner.fits_.items()}
    assert max(sizes.values()) == 12
    assert all(len(set(columns.tolist())) == sizes[group] for group, columns in learner.columns_.items())
    least = min(sizes.values())
    assert learner.in_words() == [f"Features: {'12' if least == 12 else f'{least} to 12'} of each symmetry"]
    group = Group((Family("on_site", 8, 8),), 0, 1)
    predicted = learner.predict(waters[N:], SILENT).values()[group]
    assert np.sqrt(((predicted - truth[group]) ** 2).mean()) < 0.5 * truth[group].std(axis=0).max()


def test_tiles_hold_all_features_also_of_those_some_are_kept_of(known, waters, fitted):
    """All are made before some are kept; with and without a choice a structure takes the same memory."""
    few = RidgeLearner(RidgeSettings(features=SMALL, max_features=5)).fit(known.structures, known.data, SILENT)
    groups = list(fitted.fits_)
    for gigabytes in (0.001, 0.003):
        tiles = []
        for learner in (few, fitted):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(learner, "settings", learner.settings.model_copy(update={"memory_gb": gigabytes}))
                tiles.append(list(learner._budget.tiles(waters, groups)))
        assert tiles[0] == tiles[1] and len(tiles[0]) > 1


@pytest.fixture(scope="module")
def kept(known):
    settings = RidgeSettings(features=SMALL, max_features=12)
    return RidgeLearner(settings).fit(known.structures, known.data, SILENT)


def test_features_are_chosen_tile_by_tile_within_the_memory(known, kept, monkeypatch):
    asked = []
    choose = ridge.choose_columns
    monkeypatch.setattr(ridge, "choose_columns", lambda x, *rest: asked.append(x.shape) or choose(x, *rest))
    widest = max(kept._budget.n_features(group) for group in kept.fits_)
    settings = kept.settings.model_copy(update={"memory_gb": 1.05 * ridge.factor_gigabytes([widest], 1)})
    tight = RidgeLearner(settings).fit(known.structures, known.data, SILENT)
    assert max(shape[1] for shape in asked) == widest and all(n <= q for n, q in asked)
    assert {g: c.tolist() for g, c in tight.columns_.items()} == {g: c.tolist() for g, c in kept.columns_.items()}


def test_features_that_cannot_be_chosen_from_are_refused_before_any_is_made(known, kept, monkeypatch):
    widest = max(kept._budget.n_features(group) for group in kept.fits_)
    settings = kept.settings.model_copy(update={"memory_gb": 0.95 * ridge.factor_gigabytes([widest], 1)})
    monkeypatch.setattr(ridge, "FeatureRows", lambda *a, **k: pytest.fail("too late"))
    with pytest.raises(ConfigError, match=rf"{widest} features need factors of .* GB.*max_l$"):
        RidgeLearner(settings).fit(known.structures, known.data, SILENT)


def test_values_and_gradients_come_of_the_same_features(monkeypatch):
    """Made once for each tile; tiles are smaller than those of values alone."""
    problem, structures = PropertyProblem(), small_molecules(12)
    _, data = problem.encode(structures)
    learner = RidgeLearner(RidgeSettings(features=TINY, error_bars=True)).fit(structures, data, SILENT)
    expected = learner.predict_with_covariance(structures, SILENT)
    learner.settings = learner.settings.model_copy(update={"memory_gb": 1e-3})
    tiles, made = list(learner._budget.tiles(structures, data.groups, copies=ridge.GRAPH)), []
    assert len(tiles) > len(list(learner._budget.tiles(structures, data.groups)))
    rows = FeatureRows.__init__
    monkeypatch.setattr(FeatureRows, "__init__", lambda *a, **k: made.append(len(a[2])) or rows(*a, **k))
    answers, gradients = learner.predict_with_gradients(structures, SILENT, covariance=True)
    assert made == [stop - start for start, stop in tiles]
    (group,) = data.groups
    np.testing.assert_allclose(answers.values()[group], expected.values()[group], atol=1e-12)
    for found, known in zip(answers.covariances, expected.covariances, strict=True):
        np.testing.assert_allclose(found[group], known[group], rtol=1e-9)
    assert gradients.shape == (sum(map(len, structures)), 3)


def test_distances_are_measured_by_kernels_as_wide_as_the_features():
    features = FeatureSettings(max_l=5, max_nu_centre=2, cutoff_angstrom=4.2, smearing_angstrom=0.3)
    metric = RidgeLearner(RidgeSettings(features=features)).metric()
    assert isinstance(metric, WignerSettings)
    assert (metric.max_l, metric.max_nu_centre, metric.max_nu_pair) == (3, 2, 0)
    assert (metric.cutoff_angstrom, metric.smearing_angstrom) == (4.2, 0.3)
    assert RidgeLearner(RidgeSettings(features=features)).remembered() is None


def test_models_without_parts_say_so(fitted, waters):
    with pytest.raises(ConfigError, match=r"model.kind ridge has no parts; those of kernels have"):
        fitted.predict_parts(waters[:1])
