"""Ridge regression for many regularisations, against normal equations, plain loops and dense Gaussian processes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.errors import ConfigError
from hamlearn.regression.sparse import SparseProblem
from hamlearn.regression.spectral import RELATIVE_ALPHAS, Spectrum, fit_ridge
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def data(seed, rows=60, q=7, t=2):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, q)) * np.logspace(0, -2, q)
    return x, x @ rng.normal(size=(q, t)) + 0.1 * rng.normal(size=(rows, t))


def problem(x, y, part, n_parts=None):
    """All rows, each in its part."""
    out = SparseProblem(x.shape[1], y.shape[1], n_parts or int(part.max()) + 1)
    for k in np.unique(part):
        out.add(x[part == k], y[part == k], int(k))
    return out


def gaussian_process(x, y, new, alpha, scale):
    """Mean and covariance of noisy data by the dense kernel s^2 x x^T."""
    noise = alpha * scale
    solved = np.linalg.solve(scale * x @ x.T + noise * np.eye(len(x)), np.column_stack([y, scale * x @ new.T]))
    cross = scale * new @ x.T
    return cross @ solved[:, 0], scale * new @ new.T - cross @ solved[:, 1:] + noise * np.eye(len(new))


def brute_force(x, y, fold):
    """Cross-validated squared error [alpha, target] by a plain loop over alphas and folds, and the weights."""
    scale = float((x**2).sum()) / len(x)

    def solve(a, b, alpha):
        return np.linalg.solve(a.T @ a + alpha * scale * np.eye(a.shape[1]), a.T @ b)

    masks = [fold == k for k in np.unique(fold)]
    errors = [sum(((x[m] @ solve(x[~m], y[~m], a) - y[m]) ** 2).sum(axis=0) for m in masks) for a in RELATIVE_ALPHAS]
    return np.array(errors), lambda position: solve(x, y, RELATIVE_ALPHAS[position])


@pytest.mark.parametrize("n_parts", [3, 7])
def test_ridge_against_normal_equations_and_brute_force_cross_validation(n_parts):
    """Weights, alpha and error of every target; parts are dealt in turn to the folds."""
    x, y = data(1, rows=48)
    part = np.arange(48) // 4 % n_parts
    fit = fit_ridge(problem(x, y, part), 3)
    errors, solve = brute_force(x, y, part % 3)
    best = errors.argmin(axis=0)
    assert best.min() > 0
    np.testing.assert_allclose(fit.alphas, RELATIVE_ALPHAS[best])
    np.testing.assert_allclose(fit.cv_mse, errors[best, [0, 1]] / 48, rtol=1e-9)
    for target in (0, 1):
        np.testing.assert_allclose(fit.weights[:, target], solve(best[target])[:, target], rtol=1e-9, atol=1e-9)


def test_folds_with_fewer_rows_than_features():
    x, y = data(4, rows=12, q=9)
    fold = np.arange(12) % 4
    fit = fit_ridge(problem(x, y, fold), 4)
    errors, solve = brute_force(x, y, fold)
    best = errors.argmin(axis=0)
    np.testing.assert_allclose(fit.alphas, RELATIVE_ALPHAS[best])
    np.testing.assert_allclose(fit.cv_mse, errors[best, [0, 1]] / 12, rtol=1e-8)
    for target in (0, 1):
        np.testing.assert_allclose(fit.weights[:, target], solve(best[target])[:, target], rtol=1e-7, atol=1e-9)


def test_of_alphas_that_serve_equally_well_the_smallest_is_taken():
    """A target without spread has no error at any of them; one whose noise the
    features hardly see gains 1e-12 of its error by some."""
    x, _ = data(5)
    fit = fit_ridge(problem(x, np.zeros((60, 1)), np.arange(60) % 3), 3)
    assert fit.alphas.tolist() == [RELATIVE_ALPHAS[0]]
    assert not fit.weights.any() and not fit.cv_mse.any() and not fit.posterior.scales.any()
    rng, part = np.random.default_rng(0), np.arange(60) % 3
    x, noise = rng.normal(size=(60, 4)), rng.normal(size=(60, 8))
    for k in range(3):
        noise[part == k] -= x[part == k] @ np.linalg.lstsq(x[part == k], noise[part == k], rcond=None)[0]
    y = x @ rng.normal(size=(4, 8)) + 1e-3 * noise + 1e-8 * rng.normal(size=(60, 8))
    fit = fit_ridge(problem(x, y, part), 3)
    assert fit.alphas.tolist() == [RELATIVE_ALPHAS[0]] * 8


def test_a_constant_target_beside_a_constant_feature():
    x = np.column_stack([np.ones(40), data(6, 40, 3)[0]])
    fit = fit_ridge(problem(x, np.full((40, 1), 2.5), np.arange(40) % 4), 4)
    np.testing.assert_allclose(x @ fit.weights, 2.5, rtol=1e-9)


def test_more_features_than_rows_interpolate():
    x, y = data(2, rows=5, q=40)
    fit = fit_ridge(problem(x, y, np.zeros(5)), 1)
    assert fit.alphas.tolist() == [RELATIVE_ALPHAS[0]] * 2
    np.testing.assert_allclose(x @ fit.weights, y, rtol=1e-8, atol=1e-8)
    assert np.isnan(fit.cv_mse).all()
    np.testing.assert_allclose(fit.posterior.scales, (fit.weights**2).sum(axis=0) / 5)  # five directions


def test_features_that_vanish_by_symmetry_get_no_weight():
    """Rounding noise in features must not be fitted, however small the regulariser."""
    rng = np.random.default_rng(0)
    noise, y = 1e-17 * rng.normal(size=(30, 4)), rng.normal(size=(30, 1))
    fit = fit_ridge(problem(noise, y, np.arange(30) % 3), 3)
    assert not fit.weights.any() and np.isnan(fit.cv_mse).all()
    np.testing.assert_allclose(fit.posterior.scales, (y**2).mean(axis=0))


def test_features_that_vanish_or_are_copies_beside_others():
    x, y = data(7)
    noise = 1e-17 * np.random.default_rng(0).normal(size=(60, 2))
    plain, more = (fit_ridge(problem(a, y, np.arange(60) % 3), 3) for a in (x, np.hstack([x, noise, x[:, :3]])))
    both = fit_ridge(problem(np.hstack([x[:, :3] * 2**0.5, x[:, 3:]]), y, np.arange(60) % 3), 3)
    assert np.abs(more.weights[7:9]).max() < 1e-12
    np.testing.assert_allclose(more.cv_mse, both.cv_mse, rtol=1e-9)  # copies count as one that is sqrt 2 larger
    assert more.posterior.directions.shape == (12, 7) and plain.posterior.directions.shape == (7, 7)


def test_no_features_at_all():
    y = np.random.default_rng(0).normal(size=(6, 2))
    fit = fit_ridge(problem(np.zeros((6, 0)), y, np.zeros(6)), 1)
    assert fit.weights.shape == (0, 2)
    np.testing.assert_allclose(fit.posterior.scales, (y**2).mean(axis=0))


def test_no_rows_at_all():
    fit = fit_ridge(SparseProblem(3, 2, 4), 4)
    assert not fit.weights.any() and fit.weights.shape == (3, 2) and np.isnan(fit.cv_mse).all()


def test_empty_folds_are_passed_over():
    """Also where there are more folds than parts."""
    x, y = data(3, rows=20)
    part = np.repeat([0, 2], 10)
    plain = fit_ridge(problem(x, y, part // 2), 2)
    for found in (fit_ridge(problem(x, y, part, 3), 3), fit_ridge(problem(x, y, part // 2), 5)):
        np.testing.assert_allclose(found.cv_mse, plain.cv_mse, rtol=1e-9)
        np.testing.assert_allclose(found.weights, plain.weights, atol=1e-9)
    assert np.isfinite(plain.cv_mse).all()


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_turning_features_or_the_components_of_samples(seed):
    """Weights turn with the features; rows of samples that turn with their data leave them."""
    rng = np.random.default_rng(seed)
    x, y = data(seed, rows=48)
    part = np.arange(48) // 3 % 4
    fit = fit_ridge(problem(x, y, part), 4)
    v = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    turned = fit_ridge(problem(x @ v, y, part), 4)
    np.testing.assert_allclose(turned.alphas, fit.alphas)
    np.testing.assert_allclose(v @ turned.weights, fit.weights, atol=1e-8)
    rotations = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(16)]
    x, y = (np.concatenate([d @ a[3 * k : 3 * k + 3] for k, d in enumerate(rotations)]) for a in (x, y))
    np.testing.assert_allclose(fit_ridge(problem(x, y, part), 4).weights, fit.weights, atol=1e-8)


def test_a_kernel_in_the_basis_where_it_is_one_is_kernel_ridge():
    """All data active; weights and posterior are those in the basis of the problem."""
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    k = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 2)
    sparse = SparseProblem(k, 2, 4, "rkhs-qr")
    for part in range(4):
        sparse.add(k[part::4], y[part::4], part)
    fit = fit_ridge(sparse, 4)
    for target, alpha in enumerate(fit.posterior.alphas):
        expected = k @ np.linalg.solve(k + alpha * np.eye(40), y[:, target])
        np.testing.assert_allclose(k @ sparse.root @ fit.weights[:, target], expected, atol=1e-8)


def test_a_problem_with_another_regulariser_is_refused():
    with pytest.raises(ConfigError, match="make the problem with solver 'rkhs-qr'"):
        fit_ridge(SparseProblem(np.diag([1.0, 2.0]), 1, 2), 2)


@pytest.mark.parametrize("rows", [8, 40])
def test_closed_form_is_the_posterior_of_a_gaussian_process(rows):
    """With fewer rows than features, too: what training never saw keeps its prior variance."""
    rng = np.random.default_rng(rows)
    x, y, new = rng.normal(size=(rows, 15)), rng.normal(size=(rows, 2)), rng.normal(size=(7, 15))
    alphas, scales = np.array([0.3, 1e-3]), np.array([2.0, 0.7])
    weights, posterior = Spectrum.of(problem(x, y, np.arange(rows) % 2)).solve(alphas, scales)
    found = posterior.covariances(new, [3, 0, 4])
    assert [v.shape for v in found] == [(2, 3, 3), (2, 0, 0), (2, 4, 4)]
    for target in (0, 1):
        mean, covariance = gaussian_process(x, y[:, target], new, alphas[target], scales[target])
        np.testing.assert_allclose(new @ weights[:, target], mean, atol=1e-9)
        np.testing.assert_allclose(found[0][target], covariance[:3, :3], atol=1e-9)
        np.testing.assert_allclose(found[2][target], covariance[3:, 3:], atol=1e-9)


def test_refitting_all_rows_is_the_fit():
    x, y = data(9)
    all_rows = problem(x, y, np.arange(60) % 3)
    fit = fit_ridge(all_rows, 3)
    weights, posterior = Spectrum.of(all_rows).solve(fit.posterior.alphas, fit.posterior.scales)
    np.testing.assert_allclose(weights, fit.weights, atol=EXACT)
    np.testing.assert_array_equal(posterior.scales, fit.posterior.scales)


@pytest.mark.parametrize(("rows", "q"), [(48, 7), (12, 9)])
def test_prior_variance_makes_left_out_rows_as_wrong_as_they_are_said_to_be(rows, q):
    """Also where the rest of the rows has not seen all directions."""
    x, y = data(1, rows, q)
    folds = np.arange(rows) % 3
    fit = fit_ridge(problem(x, y, folds), 3)
    for target in (0, 1):
        alpha, scale = fit.posterior.alphas[target], fit.posterior.scales[target]
        squares, variances = 0.0, 0.0
        for k in range(3):
            out = folds == k
            mean, covariance = gaussian_process(x[~out], y[~out, target], x[out], alpha, scale)
            squares += ((y[out, target] - mean) ** 2).sum()
            variances += np.trace(covariance)
        assert squares == pytest.approx(variances, rel=1e-8)
        assert fit.cv_mse[target] == pytest.approx(variances / rows, rel=1e-8)
