"""Error bars of ridge regression against dense Gaussian processes."""

import numpy as np
import pytest
from noisy_waters import Known

from hamlearn.config import FeatureSettings, RidgeSettings
from hamlearn.errors import ConfigError
from hamlearn.job import SILENT
from hamlearn.learning.feature_rows import FeatureRows
from hamlearn.learning.groups import Group
from hamlearn.learning.ridge import RidgeLearner
from hamlearn.structures.families import Family

SMALL = FeatureSettings(max_l=3, max_n=3)
PLAIN = RidgeSettings(features=SMALL)
BARS = RidgeSettings(features=SMALL, error_bars=True)
N = 24


def gaussian_process(x, y, new, alpha, scale):
    """Mean and covariance of noisy data by the dense kernel s^2 x x^T."""
    noise = alpha * scale
    solved = np.linalg.solve(scale * x @ x.T + noise * np.eye(len(x)), np.column_stack([y, scale * x @ new.T]))
    cross = scale * new @ x.T
    return cross @ solved[:, 0], scale * new @ new.T - cross @ solved[:, 1:] + noise * np.eye(len(new))


@pytest.fixture(scope="module")
def known(waters, water_lowdin):
    matrices, orbitals = water_lowdin
    return Known.of(waters[:N], matrices[:N], orbitals)


def fit(known, settings, held_out=False):
    return RidgeLearner(settings).fit(known.structures, known.data, SILENT, held_out)


@pytest.fixture(scope="module")
def fitted(known):
    return fit(known, BARS, held_out=True)


@pytest.fixture(scope="module")
def answers(fitted, waters):
    return fitted.predict_with_covariance(waters[N:], SILENT)


GROUPS = [
    Group((Family("on_site", 8, 8),), 0, 1),
    Group((Family("on_site", 8, 8),), 2, 1),
    Group((Family("plus", 1, 1),), 0, 1),
    Group((Family("cross", 1, 8),), 1, 1),
]


@pytest.mark.parametrize("group", GROUPS)
def test_blocks_of_molecules_against_a_dense_gaussian_process(group, fitted, answers, known, waters):
    """Folds by a model of the others with the regularisation of all, and new molecules."""
    posterior, offsets = fitted.fits_[group].posterior, fitted.fits_[group].offsets
    owner = known.data.owner[group]
    rows, new = FeatureRows(fitted.featurizer_, known.structures, {}), waters[N : N + 1]
    x, x_new = rows.matrix(group), FeatureRows(fitted.featurizer_, new, {}).matrix(group)
    compared = 0
    fold = fitted.held_out_[1]
    out = np.isin(owner, fold.indices)
    first = owner[out] == fold.indices[0]
    for target, y in enumerate(known.data.rows(group).T):
        alpha, scale = float(posterior.alphas[target]), float(posterior.scales[target])
        if alpha < 1e-12 * (x**2).sum() / len(x):
            continue  # the dense kernel cannot be inverted
        compared += 1
        mean, covariance = gaussian_process(x[~out], y[~out], x[out], alpha, scale)
        found = fold.answers.values()[group][:, target] - offsets[target]
        np.testing.assert_allclose(found, mean, atol=1e-4 * np.abs(y).max())
        expected = covariance[np.ix_(first, first)]
        found = fold.answers.covariances[0][group][target]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())
        _, covariance = gaussian_process(x, y, x_new, alpha, scale)
        found = answers.covariances[0][group][target]
        np.testing.assert_allclose(found, covariance, rtol=1e-3, atol=1e-3 * covariance.max())
    assert compared


def test_every_structure_is_left_out_once(fitted):
    """Of few structures there are more parts than folds, which would leave out a third."""
    assert len(fitted.held_out_) == 9
    assert sorted(np.concatenate([fold.indices for fold in fitted.held_out_]).tolist()) == list(range(N))


def test_structures_left_out_are_bounded(known, monkeypatch):
    """Some at random where there are many."""
    monkeypatch.setattr("hamlearn.learning.left_out.MOST_HELD_OUT", 6)
    monkeypatch.setattr("hamlearn.learning.ridge.MOST_HELD_OUT", 6)
    few = fit(known, BARS, held_out=True)
    assert sum(len(fold.indices) for fold in few.held_out_) == 6
    assert {int(k) for fold in few.held_out_ for k in fold.indices} == set(np.flatnonzero(known.data.order < 6))


def test_structures_whose_pairs_the_others_do_not_have_are_not_left_out(waters, water_lowdin, hydrogen_peroxide):
    matrices, orbitals = water_lowdin
    rare = Known.of([*waters[:7], hydrogen_peroxide], [*matrices[:7], np.eye(12)], orbitals)
    held = fit(rare, BARS, held_out=True).held_out_
    assert sorted(np.concatenate([fold.indices for fold in held]).tolist()) == list(range(7))


def test_predictions_are_the_same_with_and_without_error_bars(fitted, answers, known, waters):
    plain = fit(known, PLAIN)
    assert not any(one.posterior for one in plain.fits_.values()) and not plain.held_out_
    expected, found = plain.predict(waters[N:], SILENT).values(), answers.values()
    alone = fitted.predict(waters[N:], SILENT).values()
    assert expected.keys() == found.keys() and len(answers.covariances) == len(waters) - N
    for group, values in expected.items():
        np.testing.assert_array_equal(alone[group], found[group])
        np.testing.assert_allclose(found[group], values, atol=1e-6)
        for atoms, covariances in zip(waters[N:], answers.covariances, strict=True):
            v, n = covariances[group], group.n_rows(atoms.numbers)
            assert v.shape == (values.shape[1], n, n)
            assert all(np.linalg.eigvalsh(one).min() > -1e-12 * np.trace(one) for one in v)


def test_tiles_change_nothing_but_rounding(answers, known, waters):
    tight = fit(known, BARS.model_copy(update={"memory_gb": 0.005}), held_out=True)
    assert len(list(tight._budget.tiles(waters, list(tight.fits_)))) > 1
    after = tight.predict_with_covariance(waters[N:], SILENT).covariances[-1]
    for group, values in answers.covariances[-1].items():
        for one, other in zip(after[group], values, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 * np.abs(other).max())


def test_error_bars_without_structures_left_out(known, waters):
    """Posteriors of all data, and nothing held out."""
    fitted = fit(known, BARS)
    assert fitted.held_out_ == []
    assert fitted.predict_with_covariance(waters[N:], SILENT).covariances[0].keys() == known.data.values.keys()


def test_refusals(known, waters, water_lowdin):
    matrices, orbitals = water_lowdin
    with pytest.raises(ConfigError, match="fitted without error bars"):
        fit(known, PLAIN).predict_with_covariance(waters[:1], SILENT)
    with pytest.raises(ConfigError, match="at least two training structures"):
        fit(Known.of(waters[:1], matrices[:1], orbitals), BARS, held_out=True)
    with pytest.raises(ConfigError, match=r"165 features with error bars need 0.* drop model.error_bars"):
        fit(known, BARS.model_copy(update={"memory_gb": 2e-4}))
    scarce = RidgeLearner(BARS.model_copy(update={"memory_gb": 1e-5}))
    with pytest.raises(ConfigError, match=r"165 features with error bars need"):
        scarce.check(known.structures, known.data.n_targets)
    with pytest.raises(ConfigError, match=r"24 structures left out, whose covariances need"):
        scarce.check(known.structures, known.data.n_targets, held_out=True)
