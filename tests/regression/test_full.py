"""Kernel regression with all data as basis, against fits that are made again without every fold."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import LinAlgError

from hamlearn.regression import full
from hamlearn.regression.folds import fold_indices, random_folds
from hamlearn.regression.full import FullProblem, RegularisedKernel, full_gigabytes, mirror, regularised_in_place
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def gaussian(a, b, width=0.3):
    return np.exp(-((a[:, None] - b) ** 2).sum(-1) / (2 * width**2))


def solve_kernel(k, y, variance):
    return RegularisedKernel(k, variance).weights(y.reshape(len(y), -1)).reshape(y.shape)


def fold_residuals(k, y, folds, variance=1.0):
    return RegularisedKernel(k, variance).residuals(y.reshape(len(y), -1), folds).reshape(y.shape)


def left_out(k, y, folds, variance):
    """Fit again without every fold."""
    residuals = np.zeros_like(y)
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(y)), fold)
        weights = np.linalg.solve(k[np.ix_(rest, rest)] + np.diag(variance[rest]), y[rest])
        residuals[fold] = y[fold] - k[np.ix_(fold, rest)] @ weights
    return residuals


def test_full_kernel():
    rng = np.random.default_rng(1)
    x, y, variance = rng.normal(size=(40, 3)), rng.normal(size=40), rng.uniform(0.1, 1, 40)
    k = gaussian(x, x)
    np.testing.assert_allclose((k + np.diag(variance)) @ solve_kernel(k, y, variance), y, atol=EXACT)
    np.testing.assert_allclose(k @ solve_kernel(k, y, 0.0), y, atol=EXACT)
    before = k.copy()
    solve_kernel(k, y, 1.0)
    np.testing.assert_array_equal(k, before)


def test_predictions_and_variances_are_those_of_a_gaussian_process():
    rng = np.random.default_rng(0)
    x, new, variance = rng.uniform(-1, 1, (60, 3)), rng.uniform(-1, 1, (20, 3)), rng.uniform(0.01, 0.1, 60)
    y = np.sin(x[:, 0]) + x[:, 1] * x[:, 2]
    k, cross = gaussian(x, x, 0.5), gaussian(new, x, 0.5)
    inverse = np.linalg.inv(k + np.diag(variance))
    mean = cross @ solve_kernel(k, y, variance)
    np.testing.assert_allclose(mean, cross @ inverse @ y, atol=10 * EXACT)
    white = (cross @ RegularisedKernel(k, variance).inverse_root()).T
    np.testing.assert_allclose(white.T @ white, cross @ inverse @ cross.T, atol=10 * EXACT)
    std = np.sqrt(1 - (white**2).sum(axis=0))
    assert np.abs((mean - np.sin(new[:, 0]) - new[:, 1] * new[:, 2]) / std).max() < 4


def test_further_axes_of_the_data_are_carried_along():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(12, 2)), rng.normal(size=(12, 3, 1))
    k, folds = gaussian(x, x), fold_indices(12, 3)
    for c in range(3):
        np.testing.assert_allclose(solve_kernel(k, y, 0.1)[:, c], solve_kernel(k, y[:, c], 0.1), atol=EXACT)
        np.testing.assert_allclose(
            fold_residuals(k, y, folds)[:, c, 0], fold_residuals(k, y[:, c, 0], folds), atol=EXACT
        )


@pytest.mark.parametrize("weights", [(2.0, 0.3), (1.5, 0.0)])
def test_a_weighted_sum_of_kernels_is_one_model_of_all_features(weights):
    """Ridge regression of the features side by side, those of each part scaled by the root of its weight: the parts
    of the prediction are told apart, and one of weight zero takes no part."""
    rng = np.random.default_rng(0)
    d, new, y = (
        [rng.normal(size=(30, q)) for q in (4, 7)],
        [rng.normal(size=(9, q)) for q in (4, 7)],
        rng.normal(size=30),
    )
    x = solve_kernel(sum(w * a @ a.T for w, a in zip(weights, d, strict=True)), y, 0.7)
    joined = np.hstack([np.sqrt(w) * a for w, a in zip(weights, d, strict=True)])
    beta = np.split(np.linalg.solve(joined.T @ joined + 0.7 * np.eye(11), joined.T @ y), [4])
    for w, a, b, c in zip(weights, d, new, beta, strict=True):
        np.testing.assert_allclose(w * b @ a.T @ x, np.sqrt(w) * b @ c, atol=100 * EXACT)


def test_turning_data_turns_weights():
    rng = np.random.default_rng(4)
    x, y, turn = rng.normal(size=(15, 2)), rng.normal(size=15), np.linalg.qr(rng.normal(size=(15, 15)))[0]
    k = gaussian(x, x)
    turned = turn @ k @ turn.T
    np.testing.assert_allclose(solve_kernel(turned, turn @ y, 0.1), turn @ solve_kernel(k, y, 0.1), atol=100 * EXACT)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.booleans())
def test_closed_form_is_fitting_again_without_each_fold(seed, k, dealt):
    rng = np.random.default_rng(seed)
    x, y, variance = rng.normal(size=(30, 5)), rng.normal(size=(30, 2)), rng.uniform(0.1, 1, 30)
    folds = random_folds(30, k) if dealt else fold_indices(30, k)
    kernel = x @ x.T
    np.testing.assert_allclose(
        fold_residuals(kernel, y, folds, variance), left_out(kernel, y, folds, variance), atol=100 * EXACT
    )


def test_rows_of_one_structure_can_stay_together_and_some_always_train():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=12)
    folds = [np.array([5, 3]), np.array([1, 0, 8])]  # in any order; 2, 4, 6, ... in none
    found = fold_residuals(x @ x.T, y, folds)
    np.testing.assert_allclose(found, left_out(x @ x.T, y, folds, np.ones(12)), atol=100 * EXACT)
    assert not found[[2, 4, 6, 7, 9, 10, 11]].any()


def test_all_rows_left_out_are_residuals_themselves():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    np.testing.assert_allclose(fold_residuals(gaussian(x, x), y, [np.arange(10)], 0.1), y, atol=100 * EXACT)


def test_covariance_of_a_fold_is_that_of_a_gaussian_process():
    rng = np.random.default_rng(6)
    x, variance, fold = rng.normal(size=(20, 2)), rng.uniform(0.1, 1, 20), np.array([7, 2, 11])
    k, rest = gaussian(x, x, 1.0), np.setdiff1d(np.arange(20), fold)
    regularised = k + np.diag(variance)
    cross = k[np.ix_(fold, rest)]
    expected = regularised[np.ix_(fold, fold)] - cross @ np.linalg.solve(regularised[np.ix_(rest, rest)], cross.T)
    np.testing.assert_allclose(RegularisedKernel(k, variance).fold_covariance(fold), expected, atol=100 * EXACT)


@pytest.mark.parametrize("variance", [1e-10, 0.3])
def test_weights_solve_the_regularised_equations(variance):
    """Also where the kernel is nearly singular: those of the explicit inverse would miss far more."""
    points = np.sort(np.random.default_rng(3).uniform(0, 3, (120, 1)), axis=0)
    k, y = gaussian(points, points, 1.0), np.sin(2 * points)
    before, kernel = k.copy(), RegularisedKernel(k, variance)
    assert np.abs(k @ kernel.weights(y) + variance * kernel.weights(y) - y).max() < 1e-9
    kernel.residuals(y, [np.arange(3)])
    np.testing.assert_array_equal(k, before)


def test_a_singular_kernel_is_refused():
    """Also one that Cholesky's algorithm passes, with a pivot that is nothing but rounding."""
    x = np.random.default_rng(7).normal(size=(30, 4))
    with pytest.raises(LinAlgError, match="singular to rounding"):
        RegularisedKernel(np.array([[1.0, 1.0], [1.0, 1.0 + 4e-16]]), 0.0)
    for kernel, variance in ((x @ x.T, 0.0), (1e18 * x @ x.T, 1.0), (-x @ x.T, 0.1)):
        with pytest.raises(LinAlgError, match="singular to rounding"):
            RegularisedKernel(kernel, variance)


def test_factors_lie_in_the_memory_of_the_kernel(monkeypatch):
    """Which is the kernel again afterwards, also of one that is refused; in blocks of rows as in one."""
    rng = np.random.default_rng(8)
    x, y, folds = rng.normal(size=(50, 3)), rng.normal(size=(50, 2)), random_folds(50, 4)
    k = gaussian(x, x, 1.0)
    apart = RegularisedKernel(k, 0.2)
    expected = apart.weights(y), left_out(k, y, folds, np.full(50, 0.2))
    monkeypatch.setattr(full, "TOGETHER", 7)
    monkeypatch.setattr(full, "MIRRORED", 9)
    before = k.copy()
    with regularised_in_place(k, 0.2) as kernel:
        found = kernel.weights(y), kernel.residuals(y, folds)
        again = kernel.weights(y)  # from the inverse now
        assert np.abs(k - before).max() > 1e-3
    np.testing.assert_array_equal(k, before)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=100 * EXACT)
    np.testing.assert_allclose(again, expected[0], atol=100 * EXACT)
    with pytest.raises(LinAlgError, match="singular"), regularised_in_place(before, -5.0):
        pass
    np.testing.assert_array_equal(before, k)


def test_a_mirrored_matrix_is_its_lower_half(monkeypatch):
    """And of the transposed view its upper one."""
    monkeypatch.setattr(full, "MIRRORED", 4)
    k = np.random.default_rng(9).normal(size=(11, 11))
    lower, upper = k.copy(), k.copy()
    mirror(lower)
    mirror(upper.T)
    np.testing.assert_array_equal(lower, np.tril(k) + np.tril(k, -1).T)
    np.testing.assert_array_equal(upper, np.triu(k) + np.triu(k, 1).T)


def test_a_fit_takes_the_memory_that_is_said():
    """Of the kernel once, not several times."""
    rng = np.random.default_rng(10)
    x, y, folds = rng.normal(size=(1200, 5)), rng.normal(size=(1200, 3)), random_folds(1200, 8)
    k = gaussian(x, x, 1.0)
    tracemalloc.start()
    FullProblem(k, y, folds).left_out(1e-3)
    taken = k.nbytes + tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    said = 1e9 * full_gigabytes(1200, 150)
    assert k.nbytes < taken < said < 1.5 * k.nbytes
