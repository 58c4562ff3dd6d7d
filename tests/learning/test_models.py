import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.blocks import split_matrices
from hamlearn.config import FeatureSettings, ModelSettings
from hamlearn.errors import ConfigError, DomainError, HamlearnWarning
from hamlearn.learning.groups import Group
from hamlearn.learning.ridge_learner import BlockModel
from hamlearn.regression.ridge import RELATIVE_ALPHAS, BlockRidge
from hamlearn.regression.tiled_qr import factor, merge, reduce_features, squared_error
from hamlearn.structures import random_rotation, rotate
from hamlearn.structures.samples import Family
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SMALL = FeatureSettings(max_l=3, max_n=3)


def problem(seed, rows=60, q=7, t=2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, q)) * np.logspace(0, -2, q)
    return torch.from_numpy(x), torch.from_numpy(x @ rng.normal(size=(q, t)) + 0.1 * rng.normal(size=(rows, t)))


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 5))
def test_factor_holds_all_of_least_squares(seed, rows, tiles):
    x, y = problem(seed, rows)
    tiled = merge(factor(a, b) for a, b in zip(x.chunk(tiles), y.chunk(tiles), strict=True))
    both = torch.cat([x, y], dim=1)
    torch.testing.assert_close(tiled.T @ tiled, both.T @ both, atol=1e-11, rtol=1e-11)
    assert len(tiled) <= max(both.shape[1], rows)
    w = torch.randn(3, 7, 2, dtype=torch.float64)
    expected = ((x @ w - y) ** 2).sum(dim=1)
    torch.testing.assert_close(squared_error(tiled, w), expected, atol=1e-10, rtol=1e-10)


def test_reduced_factor():
    x, y = problem(0)
    basis = torch.linalg.qr(torch.randn(7, 3, dtype=torch.float64)).Q
    reduced, both = reduce_features(factor(x, y), basis), torch.cat([x @ basis, y], dim=1)
    torch.testing.assert_close(reduced.T @ reduced, both.T @ both, atol=1e-11, rtol=1e-11)


def test_ridge_against_normal_equations_and_brute_force_cross_validation():
    """Weights, alpha and error of every block as a plain loop over alphas and folds finds them."""
    x, y = problem(1, rows=48)
    owner = np.arange(48) // 4 % 3
    masks = [torch.from_numpy(owner == k) for k in range(3)]
    fit = BlockRidge().fit([factor(x[m], y[m]) for m in masks], [16] * 3, 7)
    scale = float((x**2).sum()) / 48

    def solve(a, b, alpha):
        return torch.linalg.solve(a.T @ a + alpha * scale * torch.eye(7, dtype=torch.float64), a.T @ b)

    errors = np.array(
        [sum(((x[m] @ solve(x[~m], y[~m], a) - y[m]) ** 2).sum(0).numpy() for m in masks) for a in RELATIVE_ALPHAS]
    )
    best = errors.argmin(axis=0)
    assert best.min() > 0
    np.testing.assert_allclose(fit.alphas, np.array(RELATIVE_ALPHAS)[best])
    np.testing.assert_allclose(fit.cv_mse, errors[best, [0, 1]] / 48, rtol=1e-9)
    for block in (0, 1):
        expected = solve(x, y, RELATIVE_ALPHAS[best[block]])[:, block]
        torch.testing.assert_close(fit.weights[:, block], expected, atol=1e-9, rtol=1e-9)


def test_more_features_than_rows_interpolate():
    x, y = problem(2, rows=5, q=40)
    fit = BlockRidge().fit([factor(x, y)], [5], 40)
    assert fit.alphas.tolist() == [RELATIVE_ALPHAS[0]] * 2
    torch.testing.assert_close(x @ fit.weights, y, atol=1e-8, rtol=1e-8)
    assert bool(fit.cv_mse.isnan().all())


def test_features_that_vanish_by_symmetry_get_no_weight():
    """Rounding noise in features must not be fitted, however small the regulariser."""
    noise = 1e-17 * torch.randn(30, 4, dtype=torch.float64)
    y = torch.randn(30, 1, dtype=torch.float64)
    folds = [factor(noise[k::3], y[k::3]) for k in range(3)]
    assert not BlockRidge().fit(folds, [10] * 3, 4).weights.any()


def test_no_features_at_all():
    y = torch.randn(6, 2, dtype=torch.float64)
    assert BlockRidge().fit([factor(torch.zeros(6, 0, dtype=torch.float64), y)], [6], 0).weights.shape == (0, 2)


def test_empty_folds_are_passed_over():
    x, y = problem(3, rows=20)
    empty = torch.zeros((0, 9), dtype=torch.float64)
    fit = BlockRidge().fit([factor(x[:10], y[:10]), empty, factor(x[10:], y[10:])], [10, 0, 10], 7)
    assert bool(fit.cv_mse.isfinite().all())


@pytest.fixture(scope="module")
def fitted(waters, water_lowdin):
    matrices, orbitals = water_lowdin
    blocks = split_matrices(matrices[:30], [a.numbers for a in waters[:30]], orbitals)
    return BlockModel(SMALL, ModelSettings()).fit(waters[:30], blocks), blocks


def test_predicts_held_out_blocks(fitted, waters, water_lowdin):
    matrices, orbitals = water_lowdin
    model, _ = fitted
    truth = split_matrices(matrices[30:], [a.numbers for a in waters[30:]], orbitals)
    predicted = model.predict(waters[30:])
    for key, values in truth.values.items():
        if not len(values):
            continue  # no O-O pairs in water
        spread = np.sqrt((values**2).mean())
        assert np.sqrt(((predicted.values[key] - values) ** 2).mean()) < max(0.05 * spread, 1e-6), key


def test_cross_validated_error_is_honest(fitted, waters, water_lowdin):
    """The error estimated inside the training set is the order of the error outside."""
    matrices, orbitals = water_lowdin
    model, _ = fitted
    truth = split_matrices(matrices[30:], [a.numbers for a in waters[30:]], orbitals)
    predicted = model.predict(waters[30:])
    group = Group(Family("cross", 1, 8), 1, 1)
    for key, mse in zip(model.blocks_[group], model.cv_mse_[group].tolist(), strict=True):
        outside = float(((predicted.values[key] - truth.values[key]) ** 2).mean())
        assert mse / 30 < outside < 30 * mse


def test_rotating_training_structures_changes_nothing(waters, water_lowdin, fitted):
    from hamlearn.angular.ao_rotation import ao_rotation

    matrices, orbitals = water_lowdin
    rng = np.random.default_rng(0)
    rotations = [random_rotation(rng, bool(k % 2)) for k in range(30)]
    turned = [rotate(a, r) for a, r in zip(waters, rotations, strict=False)]
    ts = [ao_rotation(orbitals, a.numbers, r) for a, r in zip(waters, rotations, strict=False)]
    blocks = split_matrices(
        [t @ m @ t.T for t, m in zip(ts, matrices, strict=False)], [a.numbers for a in turned], orbitals
    )
    other = BlockModel(SMALL, ModelSettings()).fit(turned, blocks)
    before, after = fitted[0].predict(waters[30:]), other.predict(waters[30:])
    for key, values in before.values.items():
        np.testing.assert_allclose(after.values[key], values, atol=1e-8)


def test_tiles_change_nothing_but_rounding(waters, fitted):
    model, blocks = fitted
    tight = BlockModel(SMALL, ModelSettings(memory_gb=0.004)).fit(waters[:30], blocks)
    assert len(list(tight._tiles(waters, list(tight.blocks_)))) > len(list(model._tiles(waters, list(model.blocks_))))
    before, after = model.predict(waters[30:]), tight.predict(waters[30:])
    for key, values in before.values.items():
        np.testing.assert_allclose(after.values[key], values, atol=1e-9)


def test_order_of_the_training_set_hardly_matters(waters, water_lowdin, fitted):
    """Folds are dealt out at random: sorted or interleaved sets do not leave one kind to one fold."""
    matrices, orbitals = water_lowdin
    order = np.argsort([a.get_distance(0, 1) for a in waters[:30]])
    blocks = split_matrices([matrices[k] for k in order], [a.numbers for a in waters[:30]], orbitals)
    other = BlockModel(SMALL, ModelSettings()).fit([waters[k] for k in order], blocks)
    truth = split_matrices(matrices[30:], [a.numbers for a in waters[30:]], orbitals)
    for model in (other, fitted[0]):
        predicted = model.predict(waters[30:])
        error = sum(((predicted.values[k] - v) ** 2).sum() for k, v in truth.values.items() if len(v))
        assert error < 2e-3


def test_too_little_memory_is_said(waters, fitted):
    with pytest.raises(ConfigError, match="raise memory_gb"):
        BlockModel(SMALL, ModelSettings(memory_gb=1e-4)).fit(waters[:30], fitted[1])


def test_blocks_no_feature_reaches_are_told(waters, fitted):
    with pytest.warns(HamlearnWarning, match="no feature reaches blocks of L = 2"):
        BlockModel(FeatureSettings(max_l=1, max_n=2, max_nu_centre=1), ModelSettings()).fit(waters[:30], fitted[1])


def test_one_structure_is_reproduced(waters, water_lowdin):
    matrices, orbitals = water_lowdin
    blocks = split_matrices(matrices[:1], [waters[0].numbers], orbitals)
    predicted = BlockModel(SMALL, ModelSettings()).fit(waters[:1], blocks).predict(waters[:1])
    for key, values in predicted.values.items():
        np.testing.assert_allclose(values, blocks.values[key], atol=1e-6)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (Atoms("OHF", [[0, 0, 0], [0, 0, 1], [1, 0, 0]]), "element F not in the training set"),
        (Atoms("OO", [[0, 0, 0], [0, 0, 1.2]]), "pair O-O not in the training set"),
    ],
)
def test_outside_the_domain(fitted, waters, atoms, words):
    with pytest.raises(DomainError, match=r"structure 1 \(.*" + words):
        fitted[0].predict([waters[0], atoms, waters[1]])


def test_pairs_beyond_the_cutoff_are_zero(fitted):
    far = Atoms("OHH", [[0, 0, 0], [0.9, 0, 0.3], [0, 0, 7.0]])
    predicted = fitted[0].predict([far])
    rows = predicted.samples[Family("cross", 1, 8)]
    beyond = rows[:, 1] == 2
    for key, values in predicted.values.items():
        if key.kind == "cross":
            assert not values[beyond].any() and values[~beyond].any()
