"""Ridge regression on many features: by rows, by columns, against least squares and a dense Gaussian process."""

import numpy as np
import pytest

from hamlearn.regression import wide
from hamlearn.regression.sparse import SparseProblem
from hamlearn.regression.spectral import fit_ridge
from hamlearn.regression.wide import RELATIVE_ALPHAS, WideRidge

PARTS, FOLDS = 6, 3


def data(n, q, noise=0.1, seed=0):
    """Rows with a decaying spectrum, and two targets that are linear but for noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, q)) * 2.0 ** -(np.arange(q) ** 0.5)
    y = x @ rng.normal(size=(q, 2)) + noise * rng.normal(size=(n, 2))
    return x, y


def problem(x, y, parts=PARTS):
    out = SparseProblem(x.shape[1], y.shape[1], parts)
    for part in range(parts):
        out.add(x[part::parts], y[part::parts], part)
    return out


def padded(x, y, alpha):
    """Weights by least squares of rows and a regulariser."""
    q = x.shape[1]
    both = np.vstack([x, np.sqrt(alpha) * np.eye(q)])
    return np.linalg.lstsq(both, np.vstack([y, np.zeros((q, y.shape[1]))]), rcond=None)[0]


def scale(x):
    return (x**2).sum() / len(x)


@pytest.mark.parametrize(("n", "q"), [(24, 60), (24, 25), (60, 24), (25, 24)])
def test_weights_are_those_of_least_squares_with_a_regulariser(n, q):
    """On both sides of the crossover."""
    x, y = data(n, q)
    fit = WideRidge(problem(x, y), FOLDS).fit()
    for target, alpha in enumerate(fit.alphas):
        expected = padded(x, y, alpha * scale(x))[:, target]
        np.testing.assert_allclose(fit.weights[:, target], expected, atol=1e-9 * np.abs(expected).max())


def test_alphas_are_those_of_the_smallest_cross_validated_error():
    """Which is the error of rows left out, by least squares of the others."""
    for n, q, n_parts in ((60, 24, FOLDS), (24, 60, PARTS)):
        x, y = data(n, q, noise=0.3)
        fit = WideRidge(problem(x, y), FOLDS).fit()
        errors = np.zeros((len(RELATIVE_ALPHAS), 2))
        for part in range(n_parts):  # parts k, k + 3 of 6 are the fold k of 3
            out = np.arange(n) % n_parts == part
            for k, alpha in enumerate(RELATIVE_ALPHAS[6:], 6):
                errors[k] += ((x[out] @ padded(x[~out], y[~out], alpha * scale(x)) - y[out]) ** 2).sum(axis=0)
        errors[:6] = np.inf
        for target in range(2):
            k = int(errors[:, target].argmin())
            assert 7 < k < len(RELATIVE_ALPHAS) - 1, "the test must have something to find"
            assert fit.alphas[target] == RELATIVE_ALPHAS[k]
            assert fit.cv_mse[target] == pytest.approx(errors[k, target] / n, rel=1e-8)


def test_both_ways_are_one_fit():
    """The same rows as more features than rows and, with rows of zeros, as fewer."""
    x, y = data(40, 48)
    more = np.vstack([x, np.zeros((60, 48))]), np.vstack([y, np.zeros((60, 2))])
    fits = [WideRidge(problem(*rows), FOLDS) for rows in ((x, y), more)]
    assert [type(fit._solver).__name__ for fit in fits] == ["_ByRows", "_ByColumns"]
    for alpha in (1e-8, 1e-4):
        one, other = (fit._solver.weights(alpha) for fit in fits)
        np.testing.assert_allclose(one, other, atol=1e-9 * np.abs(one).max())
        some = [fit._solver.weights(alpha, without=[1, 4]) for fit in fits]
        assert np.abs(some[0] - one).max() > 1e-3 * np.abs(one).max()
        left = [padded(*(a[np.arange(40) % 3 != 1] for a in (x, y)), alpha)]
        np.testing.assert_allclose(some[0], left[0], atol=1e-8 * np.abs(one).max())


def test_it_is_the_fit_by_singular_values():
    """Where both choose the same alpha: they try other ones."""
    x, y = data(90, 20)
    one, other = WideRidge(problem(x, y), FOLDS).fit(error_bars=True), fit_ridge(problem(x, y), FOLDS)
    ratio = one.alphas / other.alphas
    assert ((ratio > 0.3) & (ratio < 3.2)).all()
    known = other.posterior.alphas.copy()
    same = WideRidge(problem(x, y), FOLDS)._weights(known)
    np.testing.assert_allclose(same, other.weights, atol=1e-10 * np.abs(other.weights).max())
    noise, expected = (fit.posterior.scales * fit.posterior.alphas for fit in (one, other))
    np.testing.assert_allclose(noise, expected, rtol=0.1)


@pytest.mark.parametrize(("n", "q"), [(24, 60), (60, 24)])
def test_error_bars_are_those_of_a_dense_gaussian_process(n, q):
    """Of new rows, and of parts by the rest, with the alphas and prior variances of all."""
    x, y = data(n, q)
    ridge = WideRidge(problem(x, y), FOLDS)
    fit = ridge.fit(error_bars=True)
    new = data(3, q, seed=1)[0]
    out = np.arange(n) % FOLDS == 0
    weights, rest = ridge.refit([0, 3], fit.posterior)
    for posterior, known, w in ((fit.posterior, x, fit.weights), (rest, x[~out], weights)):
        covariances = posterior.covariances(new, [3])[0]
        for target, (alpha, s2) in enumerate(zip(fit.posterior.alphas, fit.posterior.scales, strict=True)):
            noisy = known @ known.T + alpha * np.eye(len(known))
            cross = new @ known.T
            expected = s2 * (new @ new.T - cross @ np.linalg.solve(noisy, cross.T) + alpha * np.eye(3))
            np.testing.assert_allclose(covariances[target], expected, atol=1e-8 * np.abs(expected).max())
        own = y if known is x else y[~out]
        expected = np.stack([padded(known, own, a)[:, t] for t, a in enumerate(fit.posterior.alphas)], axis=1)
        np.testing.assert_allclose(w, expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(("n", "q"), [(24, 60), (60, 24)])
def test_mean_variance_of_rows_left_out_is_their_mean_squared_error(n, q):
    x, y = data(n, q)
    fit = WideRidge(problem(x, y), FOLDS).fit(error_bars=True)
    n_parts = PARTS if n < q else FOLDS
    for target, (alpha, s2) in enumerate(zip(fit.posterior.alphas, fit.posterior.scales, strict=True)):
        total = 0.0
        for part in range(n_parts):
            out = np.arange(n) % n_parts == part
            cross = x[out] @ x[~out].T
            noisy = x[~out] @ x[~out].T + alpha * np.eye((~out).sum())
            total += np.trace(x[out] @ x[out].T - cross @ np.linalg.solve(noisy, cross.T)) + alpha * out.sum()
        assert s2 * total / n == pytest.approx(fit.cv_mse[target], rel=1e-7)


@pytest.mark.parametrize(("n", "q"), [(40, 60), (80, 60)])
def test_what_lies_outside_the_leading_directions_keeps_its_prior_variance(n, q, monkeypatch):
    """Variances are never smaller than exact ones, and close where the directions hold nearly all."""
    x, y = data(n, q)
    x[:, 20:] *= 1e-5
    exact = WideRidge(problem(x, y), FOLDS).fit(error_bars=True)
    monkeypatch.setattr(wide, "MOST_DIRECTIONS", 20)
    fit = WideRidge(problem(x, y), FOLDS).fit(error_bars=True)
    assert fit.posterior.directions.shape == (q, 20)
    np.testing.assert_allclose(fit.posterior.directions.T @ fit.posterior.directions, np.eye(20), atol=1e-12)
    new = data(5, q, seed=2)[0]
    new[:, 20:] *= 1e-5
    for one, other in zip(fit.posterior.covariances(new, [5]), exact.posterior.covariances(new, [5]), strict=True):
        assert np.linalg.eigvalsh(one - other).min() > -1e-10 * np.abs(other).max()
        np.testing.assert_allclose(one, other, atol=0.05 * np.abs(other).max())


def test_one_part_is_fitted_by_the_smallest_alpha():
    """Nothing can be left out; what no feature expresses is not divided by it."""
    x, y = data(12, 30, noise=0.0)
    twice = np.vstack([x, x]), np.vstack([y + 1.0, y - 1.0])
    fit = WideRidge(problem(*twice, parts=1), FOLDS).fit(error_bars=True)
    assert (fit.alphas == RELATIVE_ALPHAS[0]).all() and np.isnan(fit.cv_mse).all()
    np.testing.assert_allclose(x @ fit.weights, y, atol=1e-9)
    assert np.isfinite(fit.posterior.scales).all()


def test_features_that_vanish_predict_zero():
    """With the mean square of the data as variance; nothing at all is fine, and rounding is not fitted."""
    for x in (np.zeros((9, 4)), np.zeros((9, 0)), 1e-16 * data(9, 4)[0], 1e-16 * data(9, 20)[0]):
        y = np.arange(18.0).reshape(9, 2)
        ridge = WideRidge(problem(x, y, parts=3), FOLDS)
        fit = ridge.fit(error_bars=True)
        weights, posterior = ridge.refit([0], fit.posterior)
        for w, known in ((fit.weights, fit.posterior), (weights, posterior)):
            assert w.shape == (x.shape[1], 2) and not w.any()
            (variances,) = known.covariances(x[:1], [1])
            np.testing.assert_allclose(variances[:, 0, 0], (y**2).mean(axis=0), rtol=1e-12)
