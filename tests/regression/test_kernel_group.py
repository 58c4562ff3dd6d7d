"""Fits of blocks that share a kernel, against explicit solves and Gaussian processes."""

import numpy as np
import pytest

from hamlearn.errors import ConfigError
from hamlearn.regression.kernel_fit import (
    FIRST_TRIED,
    RELATIVE_ALPHAS,
    SparseGroup,
    descend,
    fit_full,
    variance_factor,
)
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
N, WIDTH = 10, 3  # structures, rows of each
OWNER = np.repeat(np.arange(N), WIDTH)
FOLDS = [np.flatnonzero(np.isin(OWNER, range(fold, N, 3))) for fold in range(3)]


def rows_of(structure):
    return np.arange(structure * WIDTH, (structure + 1) * WIDTH)


def problem(seed, n_blocks=2, n_new=5):
    """Kernel of the data, with new points and of new points, and data of two blocks, the second one noisier."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N * WIDTH + n_new, 2))
    k = np.exp(-0.5 * ((x[:, None] - x) ** 2).sum(axis=2))
    smooth = np.sin(x @ rng.normal(size=(2, n_blocks)))
    y = smooth + np.array([1e-3, 0.1])[:n_blocks] * rng.normal(size=smooth.shape)
    n = N * WIDTH
    return k[:n, :n], k[n:, :n], k[n:, n:], y[:n]


def gaussian_process(k, cross, prior, y, noise):
    """Mean and covariance of f, without noise."""
    solved = np.linalg.solve(k + noise * np.eye(len(k)), np.column_stack([y, cross.T]))
    return cross @ solved[:, : y.shape[1]], prior - cross @ solved[:, y.shape[1] :]


def left_out(k, y, noise):
    """Residuals of every row, predicted without its fold."""
    out = np.empty_like(y)
    for fold in FOLDS:
        rest = np.setdiff1d(np.arange(len(k)), fold)
        mean, _ = gaussian_process(k[np.ix_(rest, rest)], k[np.ix_(fold, rest)], k[:1, :1], y[rest], noise)
        out[fold] = y[fold] - mean
    return out


def test_cross_validation_is_that_of_explicit_fits():
    """Alpha, residuals, error and weights of every block."""
    k, _, _, y = problem(0)
    fit = fit_full(k, y, FOLDS, OWNER)
    residuals = np.stack([left_out(k, y, alpha) for alpha in RELATIVE_ALPHAS])  # the mean diagonal is 1
    errors = (residuals**2).mean(axis=1)
    best = errors.argmin(axis=0)
    assert len(set(best)) == 2 and best.min() > 0
    np.testing.assert_allclose(fit.alphas, np.array(RELATIVE_ALPHAS)[best])
    np.testing.assert_allclose(fit.cv_mse, errors[best, [0, 1]], rtol=1e-8)
    np.testing.assert_array_equal(fit.held, np.arange(len(y)))
    for block, position in enumerate(best):
        np.testing.assert_allclose(fit.residuals[:, block], residuals[position, :, block], atol=1e-8)
        expected = np.linalg.solve(k + RELATIVE_ALPHAS[position] * np.eye(len(k)), y[:, block])
        np.testing.assert_allclose(fit.weights[:, block], expected, rtol=1e-6)


def test_alpha_is_relative_to_the_mean_diagonal():
    k, _, _, y = problem(1)
    one, large = fit_full(k, y, FOLDS, OWNER), fit_full(100 * k, y, FOLDS, OWNER)
    np.testing.assert_array_equal(large.alphas, one.alphas)
    np.testing.assert_allclose(large.residuals, one.residuals, atol=1e-9)
    np.testing.assert_allclose(100 * large.weights, one.weights, rtol=1e-6)


def test_covariances_are_those_of_a_gaussian_process():
    """Of the rows of every structure left out, and of new points from all data."""
    k, cross, prior, y = problem(2)
    fit = fit_full(k, y, FOLDS, OWNER, variance=True)
    noise = sorted(fit.alphas)[1]
    assert sorted(fit.held_covariances) == list(range(N))
    for structure, found in fit.held_covariances.items():
        rows = rows_of(structure)
        fold = next(f for f in FOLDS if rows[0] in f)
        rest = np.setdiff1d(np.arange(len(k)), fold)
        _, expected = gaussian_process(
            k[np.ix_(rest, rest)], k[np.ix_(rows, rest)], k[np.ix_(rows, rows)], y[rest], noise
        )
        np.testing.assert_allclose(found, expected, atol=1e-9)
    _, expected = gaussian_process(k, cross, prior, y, noise)
    reduced = cross @ fit.variance
    np.testing.assert_allclose(prior - reduced @ reduced.T, expected, atol=1e-8)


def test_prior_variance_makes_left_out_rows_as_wrong_as_they_are_said_to_be():
    k, _, _, y = problem(3)
    fit = fit_full(k, y, FOLDS, OWNER, variance=True)
    expected = sum(np.trace(c) for c in fit.held_covariances.values())
    np.testing.assert_allclose(fit.scales * expected, (fit.residuals**2).sum(axis=0))
    assert (fit_full(k, y, FOLDS, OWNER).scales == 0).all()


def test_one_structure_is_projected_on_what_the_kernel_can_be():
    """Data the kernel cannot reproduce are left alone, however singular it is, and noise of a vanishing one."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(12, 4)), rng.normal(size=(12, 2))
    fit = fit_full(x @ x.T, y, [], np.zeros(12, int))
    np.testing.assert_allclose(x @ x.T @ fit.weights, x @ np.linalg.lstsq(x, y, rcond=None)[0], atol=EXACT, rtol=1e-9)
    assert np.isnan(fit.cv_mse).all() and not len(fit.held) and fit.residuals.shape == (0, 2)
    noise = 1e-17 * rng.normal(size=(12, 12))
    assert not fit_full(noise + noise.T, y, [], np.zeros(12, int)).weights.any()


@pytest.mark.parametrize("exactly", [True, False])
def test_a_kernel_that_vanishes_by_symmetry_predicts_nothing(exactly):
    """In any basis: not even the rounding noise it consists of is fitted."""
    _, _, _, y = problem(4)
    noise = np.random.default_rng(4).normal(size=(len(y), len(y)))
    k = 0.0 * noise if exactly else 1e-17 * (noise + noise.T)
    for fit in (fit_full(k, y, FOLDS, OWNER, variance=True), sparse(k, y, np.arange(0, len(k), 2))):
        assert not fit.weights.any() and (fit.scales == 0).all() and not fit.variance.any()
        np.testing.assert_array_equal(fit.residuals, y[fit.held])
        np.testing.assert_allclose(fit.cv_mse, (y[fit.held] ** 2).mean(axis=0))


def test_blocks_of_a_single_fold_are_as_uncertain_as_they_are_large():
    """Left out together, nothing is known of them: the prediction is zero, the covariance the prior one."""
    k, _, _, y = problem(9)
    everything = np.arange(len(k))
    group = SparseGroup(k, variance=True)
    group.add(k[:0], y[:0])
    priors = {s: k[np.ix_(rows_of(s), rows_of(s))] for s in range(N)}
    for fit in (fit_full(k, y, [everything], OWNER, variance=True), group.fit(k, y, everything, OWNER, priors)):
        np.testing.assert_allclose(fit.residuals, y, atol=1e-9)
        np.testing.assert_allclose(fit.scales, (y**2).mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(fit.alphas, RELATIVE_ALPHAS[FIRST_TRIED])
        np.testing.assert_allclose(k @ fit.weights, y, atol=0.3)


def sparse(k, y, columns, tiles=3, variance=True):
    """Fit on an active set, the first fold left out at first."""
    out = FOLDS[0]
    rest = np.setdiff1d(np.arange(len(k)), out)
    group = SparseGroup(k[np.ix_(columns, columns)], variance)
    for rows in np.array_split(rest, tiles):
        group.add(k[np.ix_(rows, columns)], y[rows])
    priors = {int(s): k[np.ix_(rows_of(s), rows_of(s))] for s in np.unique(OWNER[out])}
    return group.fit(k[np.ix_(out, columns)], y[out], out, OWNER[out], priors)


def test_sparse_with_everything_active_is_full():
    """Predictions, residuals and variances for the same alpha."""
    k, cross, prior, y = problem(5)
    fit = sparse(k, y, np.arange(len(k)))
    for block, alpha in enumerate(fit.alphas):
        mean, _ = gaussian_process(k, cross, prior, y[:, [block]], alpha)
        np.testing.assert_allclose(cross @ fit.weights[:, block], mean[:, 0], atol=1e-7)
        np.testing.assert_allclose(fit.residuals[:, block], left_out(k, y, alpha)[FOLDS[0], block], atol=1e-7)
    np.testing.assert_allclose(fit.cv_mse, (fit.residuals**2).mean(axis=0))
    noise = sorted(fit.alphas)[1]
    _, expected = gaussian_process(k, cross, prior, y, noise)
    reduced = cross @ fit.variance
    np.testing.assert_allclose(prior - reduced @ reduced.T, expected, atol=1e-7)


def test_sparse_variances_are_too_large_rather_than_too_small():
    """On fewer columns they are between what all data leave and the prior."""
    k, cross, prior, y = problem(6)
    fit = sparse(k, y, np.arange(0, len(k), 4))
    columns = np.arange(0, len(k), 4)
    reduced = cross[:, columns] @ fit.variance
    found = np.diag(prior - reduced @ reduced.T)
    _, exact = gaussian_process(k, cross, prior, y, sorted(fit.alphas)[1])
    assert (found >= np.diag(exact) - 1e-9).all() and (found <= np.diag(prior)).all()
    for structure, covariance in fit.held_covariances.items():
        assert structure % 3 == 0 and np.linalg.eigvalsh(covariance)[0] > -1e-9


def test_tiles_do_not_matter():
    k, _, _, y = problem(7)
    columns = np.arange(0, len(k), 2)
    one, many = (sparse(k, y, columns, tiles, variance=False) for tiles in (1, 6))
    np.testing.assert_allclose(many.weights, one.weights, rtol=1e-5)
    assert one.variance is None and not one.held_covariances and (one.scales == 0).all()


def test_variance_factor():
    """F F^T = K^-1 - alpha (K_SN K_NS + alpha K)^-1, with K singular as well."""
    rng = np.random.default_rng(8)
    x, z, alpha = rng.normal(size=(6, 6)), rng.normal(size=(20, 6)), 0.3
    k, cross = x @ x.T, z @ x.T
    f = variance_factor(k, cross, alpha)
    expected = np.linalg.inv(k) - alpha * np.linalg.inv(cross.T @ cross + alpha * k)
    np.testing.assert_allclose(f @ f.T, expected, rtol=1e-8)
    x[:, 4:] = 0
    k, cross = x @ x.T, z @ x.T
    f = variance_factor(k, cross, alpha)
    weights = cross @ f
    expected = x[:, :4] @ np.linalg.inv(z[:, :4].T @ z[:, :4] + alpha * np.eye(4)) @ x[:, :4].T
    np.testing.assert_allclose(k - (k @ f) @ (k @ f).T, alpha * expected, atol=1e-10)
    assert np.linalg.norm(weights) < np.inf


@pytest.mark.parametrize("minimum", [0, 3, FIRST_TRIED, len(RELATIVE_ALPHAS) - 1])
def test_descent_finds_minima_without_trying_all(minimum):
    tried = []

    def evaluate(position):
        tried.append(position)
        return np.array([abs(position - minimum), float((position - 4) ** 2)])

    best, errors = descend(evaluate, 2)
    assert best == [minimum, 4] and errors.tolist() == [0, 0]
    assert len(tried) == len(set(tried))
    if minimum == FIRST_TRIED:
        assert len(tried) <= 5


def test_descent_passes_over_what_cannot_be_factorised():
    def evaluate(position):
        return np.array([np.nan if position < 5 else float(position)])

    assert descend(evaluate, 1)[0] == [5]
    with pytest.raises(ConfigError, match="singular to rounding"):
        descend(lambda position: np.array([np.inf]), 1)


def test_weights_reproduce_the_data_where_the_kernel_is_nearly_singular():
    """They solve (K + alpha) x = y; from an explicit inverse they would miss it ten thousand times further."""
    points = np.sort(np.random.default_rng(3).uniform(0, 3, 120))
    k = np.exp(-0.5 * (points[:, None] - points) ** 2)
    y = np.sin(2 * points)[:, None]
    fit = fit_full(k, y, [np.arange(f, 120, 8) for f in range(8)], np.arange(120))
    assert fit.alphas[0] <= 1e-10
    regularised = k + fit.alphas[0] * np.eye(120)  # the mean diagonal is 1
    assert np.abs(regularised @ fit.weights - y).max() < 1e-9


def test_rows_left_out_beyond_the_cut_off_decide_nothing():
    """All of them: the first regularisation that is tried stays, and the prior is as large as the data."""
    k, _, _, y = problem(3)
    out = FOLDS[0]
    rest = np.setdiff1d(np.arange(len(k)), out)
    group = SparseGroup(k[np.ix_(rest, rest)], variance=True)
    group.add(k[np.ix_(rest, rest)], y[rest])
    nothing = np.zeros((len(out), len(rest)))
    priors = {int(s): np.zeros((len(rows_of(s)),) * 2) for s in np.unique(OWNER[out])}
    fit = group.fit(nothing, y[out], out, OWNER[out], priors)
    np.testing.assert_allclose(fit.alphas, RELATIVE_ALPHAS[FIRST_TRIED])
    np.testing.assert_allclose(fit.residuals, y[out])
    unit = np.trace(k[np.ix_(rest, rest)]) / len(rest)
    np.testing.assert_allclose(fit.scales, (y**2).mean(axis=0) / unit)


def test_rows_beyond_the_cut_off_do_not_widen_error_bars():
    rng = np.random.default_rng(4)
    points = rng.uniform(0, 3, 60)
    near = np.exp(-0.5 * (points[:, None] - points) ** 2)
    folds, owner = [np.arange(f, 60, 6) for f in range(6)], np.arange(60)
    y = np.sin(2 * points)[:, None] + 1e-3 * rng.normal(size=(60, 1))
    alone = fit_full(near, y, folds, owner, variance=True)
    k = np.zeros((66, 66))
    k[:60, :60] = near
    together = fit_full(
        k, np.vstack([y, np.ones((6, 1))]), [np.append(f, 60 + n) for n, f in enumerate(folds)], np.arange(66), True
    )
    assert together.scales == pytest.approx(alone.scales, rel=0.3)
    assert together.cv_mse == pytest.approx(alone.cv_mse, rel=0.3)
