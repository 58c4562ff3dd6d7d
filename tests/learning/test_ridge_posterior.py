import numpy as np
import pytest
import torch

from hamlearn.blocks import split_matrices
from hamlearn.config import FeatureSettings, ModelSettings
from hamlearn.density import Batch
from hamlearn.errors import ConfigError
from hamlearn.learning.groups import Group
from hamlearn.learning.ridge_learner import BlockModel
from hamlearn.regression.ridge import BlockRidge, refit
from hamlearn.regression.ridge_posterior import RidgePosterior
from hamlearn.regression.tiled_qr import factor
from hamlearn.structures.samples import Family

SMALL = FeatureSettings(max_l=3, max_n=3)
BARS = ModelSettings(error_bars=True)
N = 24


def gaussian_process(x, y, new, alpha, scale):
    """Mean and covariance of noisy data by the dense kernel s^2 x x^T."""
    noise = alpha * scale
    solved = np.linalg.solve(scale * x @ x.T + noise * np.eye(len(x)), np.column_stack([y, scale * x @ new.T]))
    cross = scale * new @ x.T
    return cross @ solved[:, 0], scale * new @ new.T - cross @ solved[:, 1:] + noise * np.eye(len(new))


@pytest.mark.parametrize("rows", [8, 40])
def test_closed_form_is_the_posterior_of_a_gaussian_process(rows):
    """With fewer rows than features, too: what training never saw keeps its prior variance."""
    rng = np.random.default_rng(rows)
    x, y, new = rng.normal(size=(rows, 15)), rng.normal(size=(rows, 2)), rng.normal(size=(7, 15))
    alphas, scales = torch.tensor([0.3, 1e-3], dtype=torch.float64), torch.tensor([2.0, 0.7], dtype=torch.float64)
    known = RidgePosterior(torch.zeros((15, 0), dtype=torch.float64), torch.zeros(0), alphas, scales)
    weights, posterior = refit(factor(torch.from_numpy(x), torch.from_numpy(y)), rows, known)
    found = posterior.covariances(torch.from_numpy(new), [3, 0, 4])
    assert [tuple(v.shape) for v in found] == [(2, 3, 3), (2, 0, 0), (2, 4, 4)]
    for block in (0, 1):
        mean, covariance = gaussian_process(x, y[:, block], new, float(alphas[block]), float(scales[block]))
        np.testing.assert_allclose(new @ weights[:, block].numpy(), mean, atol=1e-9)
        np.testing.assert_allclose(found[0][block], covariance[:3, :3], atol=1e-9)
        np.testing.assert_allclose(found[2][block], covariance[3:, 3:], atol=1e-9)


def test_prior_variance_makes_left_out_rows_as_wrong_as_they_are_said_to_be():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(48, 7)) * np.logspace(0, -2, 7)
    y = x @ rng.normal(size=(7, 2)) + 0.1 * rng.normal(size=(48, 2))
    folds = np.arange(48) % 3
    factors = [factor(torch.from_numpy(x[folds == k]), torch.from_numpy(y[folds == k])) for k in range(3)]
    fit = BlockRidge().fit(factors, [16] * 3, 7)
    for block in (0, 1):
        alpha, scale = float(fit.posterior.alphas[block]), float(fit.posterior.scales[block])
        squares, variances = 0.0, 0.0
        for k in range(3):
            mean, covariance = gaussian_process(x[folds != k], y[folds != k, block], x[folds == k], alpha, scale)
            squares += ((y[folds == k, block] - mean) ** 2).sum()
            variances += np.trace(covariance)
        assert squares == pytest.approx(variances, rel=1e-9)
        assert float(fit.cv_mse[block]) == pytest.approx(variances / 48, rel=1e-9)


@pytest.fixture(scope="module")
def training(waters, water_lowdin):
    matrices, orbitals = water_lowdin
    return waters[:N], split_matrices(matrices[:N], [a.numbers for a in waters[:N]], orbitals)


@pytest.fixture(scope="module")
def fitted(training):
    return BlockModel(SMALL, BARS).fit(*training, held_out=True)


def rows_of(model, structures, group):
    x = model.featurizer_.features(Batch.from_atoms(structures))(group.family, (group.L, group.sigma))
    return x.flatten(0, 1).numpy()


GROUPS = [
    Group(Family("on_site", 8, 8), 0, 1),
    Group(Family("on_site", 8, 8), 2, 1),
    Group(Family("plus", 1, 1), 0, 1),
    Group(Family("cross", 1, 8), 1, 1),
]


@pytest.mark.parametrize("group", GROUPS)
def test_blocks_of_molecules_against_a_dense_gaussian_process(group, fitted, training, waters):
    """Folds by a model of the others with the regularisation of all, and new molecules."""
    structures, blocks = training
    posterior, offsets = fitted.posteriors_[group], fitted.offsets_[group]
    owner = np.repeat(blocks.samples[group.family][:, 0], 2 * group.L + 1)
    x = rows_of(fitted, structures, group)
    assert sorted(np.concatenate([fold.indices for fold in fitted.held_out_]).tolist()) == list(range(N))
    new = waters[N : N + 2]
    _, covariances = fitted.predict_with_covariance(new)
    compared = 0
    for column, key in enumerate(fitted.blocks_[group]):
        y = blocks.values[key].ravel() - float(offsets[column])
        alpha, scale = float(posterior.alphas[column]), float(posterior.scales[column])
        if alpha < 1e-12 * (x**2).sum() / len(x):
            continue  # the dense kernel cannot be inverted
        compared += 1
        fold = fitted.held_out_[1]
        out = np.isin(owner, fold.indices)
        mean, covariance = gaussian_process(x[~out], y[~out], x[out], alpha, scale)
        size = np.abs(y).max()
        np.testing.assert_allclose(fold.blocks.values[key].ravel() - float(offsets[column]), mean, atol=1e-4 * size)
        first = owner[out] == fold.indices[0]
        expected = covariance[np.ix_(first, first)]
        np.testing.assert_allclose(fold.covariances[0].values[key], expected, rtol=1e-3, atol=1e-3 * expected.max())
        _, covariance = gaussian_process(x, y, rows_of(fitted, new[:1], group), alpha, scale)
        np.testing.assert_allclose(covariances[0].values[key], covariance, rtol=1e-3, atol=1e-3 * covariance.max())
    assert compared


def test_predictions_are_the_same_with_and_without_error_bars(fitted, training, waters):
    plain = BlockModel(SMALL, ModelSettings()).fit(*training)
    assert not plain.posteriors_ and not plain.held_out_
    expected, (found, covariances) = plain.predict(waters[N:]), fitted.predict_with_covariance(waters[N:])
    assert expected.values.keys() == found.values.keys() and len(covariances) == len(waters) - N
    for key, values in expected.values.items():
        np.testing.assert_array_equal(fitted.predict(waters[N:]).values[key], found.values[key])
        np.testing.assert_allclose(found.values[key], values, atol=1e-6)
        n = covariances[0].samples[key.family].shape[0] * (2 * key.L + 1)
        for covariance in covariances:
            v = covariance.values[key]
            assert v.shape == (n, n)
            assert np.linalg.eigvalsh(v).min() > -1e-12 * np.trace(v)


def test_tiles_change_nothing_but_rounding(fitted, training, waters):
    tight = BlockModel(SMALL, ModelSettings(error_bars=True, memory_gb=0.005)).fit(*training, held_out=True)
    assert len(list(tight._tiles(waters, list(tight.blocks_)))) > 1
    before, after = (m.predict_with_covariance(waters[N:])[1][-1] for m in (fitted, tight))
    for key, values in before.values.items():
        np.testing.assert_allclose(after.values[key], values, rtol=1e-4, atol=1e-6 * np.abs(values).max())


def test_refusals(training, waters):
    structures, blocks = training
    with pytest.raises(ConfigError, match="fitted without error bars"):
        BlockModel(SMALL, ModelSettings()).fit(structures, blocks).predict_with_covariance(waters[:1])
    one = type(blocks)(
        {family: rows[rows[:, 0] == 0] for family, rows in blocks.samples.items()},
        {key: v[blocks.samples[key.family][:, 0] == 0] for key, v in blocks.values.items()},
    )
    with pytest.raises(ConfigError, match="at least two training structures"):
        BlockModel(SMALL, BARS).fit(structures[:1], one, held_out=True)
    with pytest.raises(ConfigError, match="error bars need 0"):
        BlockModel(SMALL, ModelSettings(error_bars=True, memory_gb=2e-4)).fit(structures, blocks)
