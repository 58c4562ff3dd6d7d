"""Fits of targets that share a kernel, against explicit solves and Gaussian processes."""

import numpy as np
import pytest

from hamlearn.regression.alphas import SingularKernel
from hamlearn.regression.fit import FIRST_TRIED, RELATIVE_ALPHAS, fit_kernel, reaches
from hamlearn.regression.full import FullProblem
from hamlearn.regression.sparse import SparseProblem
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
N, WIDTH = 10, 3  # structures, rows of each
OWNER = np.repeat(np.arange(N), WIDTH)
FOLDS = [np.flatnonzero(np.isin(OWNER, range(fold, N, 3))) for fold in range(3)]


def fit_full(k, y, folds, owner, variance=False, width=1):
    """Fit with all data as basis."""

    priors = {int(s): k[np.ix_(owner == s, owner == s)] for s in np.unique(owner)} if variance else None
    held = np.arange(len(k) if len(folds) else 0)
    return fit_kernel(FullProblem(k, y, folds), y, held, owner, priors, width=width)


def fit_active(k_mm, k, y, held, owner=None, priors=None, width=1, solver="qr", tiles=1):
    """Fit on an active set; the rows held are left out at first."""
    problem = SparseProblem(k_mm if reaches(k_mm) else np.zeros_like(k_mm), y.shape[1], solver=solver)
    for rows in np.array_split(np.setdiff1d(np.arange(len(k)), held), tiles):
        problem.add(k[rows], y[rows])
    problem.keep(k[held], y[held], 1)
    owner = np.arange(len(k)) if owner is None else owner
    return fit_kernel(problem, y, held, owner, priors, width=width)


def rows_of(structure):
    return np.arange(structure * WIDTH, (structure + 1) * WIDTH)


def problem(seed, n_targets=2, n_new=5):
    """Kernel of the data, with new points and of new points, and data of two targets, the second one noisier."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N * WIDTH + n_new, 2))
    k = np.exp(-0.5 * ((x[:, None] - x) ** 2).sum(axis=2))
    smooth = np.sin(x @ rng.normal(size=(2, n_targets)))
    y = smooth + np.array([1e-3, 0.1])[:n_targets] * rng.normal(size=smooth.shape)
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


def test_no_regularisation_is_tried_below_a_least_one():
    """In either basis; one above what is chosen anyway is the answer, with its own error and weights."""
    k, _, _, y = problem(0)
    free, held = fit_full(k, y, FOLDS, OWNER), np.arange(len(k))
    least = 1e-2
    assert free.alphas.min() < least
    full = fit_kernel(FullProblem(k, y, FOLDS), y, held, OWNER, least=least)
    assert full.alphas.min() == least and full.cv_mse[0] > free.cv_mse[0]
    residuals = left_out(k, y, least)[:, 0]
    np.testing.assert_allclose(full.cv_mse[0], (residuals**2).mean(), rtol=EXACT)
    sparse = SparseProblem(k, y.shape[1])
    sparse.add(k[FOLDS[1]], y[FOLDS[1]])
    sparse.keep(k[FOLDS[0]], y[FOLDS[0]], 1)
    assert fit_kernel(sparse, y, FOLDS[0], OWNER, least=least).alphas.min() >= least


def test_cross_validation_is_that_of_explicit_fits():
    """Alpha, residuals, error and weights of every target."""
    k, _, _, y = problem(0)
    fit = fit_full(k, y, FOLDS, OWNER)
    residuals = np.stack([left_out(k, y, alpha) for alpha in RELATIVE_ALPHAS])  # the mean diagonal is 1
    errors = (residuals**2).mean(axis=1)
    best = errors.argmin(axis=0)
    assert len(set(best)) == 2 and best.min() > 0
    np.testing.assert_allclose(fit.alphas, np.array(RELATIVE_ALPHAS)[best])
    np.testing.assert_allclose(fit.cv_mse, errors[best, [0, 1]], rtol=1e-8)
    np.testing.assert_array_equal(fit.held, np.arange(len(y)))
    for target, position in enumerate(best):
        np.testing.assert_allclose(fit.residuals[:, target], residuals[position, :, target], atol=1e-8)
        expected = np.linalg.solve(k + RELATIVE_ALPHAS[position] * np.eye(len(k)), y[:, target])
        np.testing.assert_allclose(fit.weights[:, target], expected, rtol=1e-6)


def test_alpha_is_relative_to_the_mean_diagonal():
    k, _, _, y = problem(1)
    one, large = fit_full(k, y, FOLDS, OWNER), fit_full(100 * k, y, FOLDS, OWNER)
    np.testing.assert_array_equal(large.alphas, one.alphas)
    np.testing.assert_allclose(large.residuals, one.residuals, atol=1e-9)
    np.testing.assert_allclose(100 * large.weights, one.weights, rtol=1e-6)


def test_covariances_are_those_of_a_gaussian_process():
    """Of the rows of every structure left out, and of new points from all data."""
    k, cross, prior, y = problem(2)
    y = y[:, [0, 0, 1]]
    fit = fit_full(k, y, FOLDS, OWNER, variance=True)
    noise = fit.alphas[0]  # the one in the middle, not the larger one of the noisier target
    assert noise < fit.alphas[2]
    assert sorted(fit.covariances) == list(range(N))
    for structure, found in fit.covariances.items():
        rows = rows_of(structure)
        fold = next(f for f in FOLDS if rows[0] in f)
        rest = np.setdiff1d(np.arange(len(k)), fold)
        _, expected = gaussian_process(
            k[np.ix_(rest, rest)], k[np.ix_(rows, rest)], k[np.ix_(rows, rows)], y[rest], noise
        )
        np.testing.assert_allclose(found, expected, atol=1e-9)
    _, expected = gaussian_process(k, cross, prior, y, noise)
    reduced = cross @ fit.posterior.directions
    np.testing.assert_allclose(prior - reduced @ reduced.T, expected, atol=1e-8)


def test_prior_variance_makes_left_out_rows_as_wrong_as_they_are_said_to_be():
    k, _, _, y = problem(3)
    fit = fit_full(k, y, FOLDS, OWNER, variance=True)
    expected = sum(np.trace(c) for c in fit.covariances.values())
    np.testing.assert_allclose(fit.posterior.scales * expected, (fit.residuals**2).sum(axis=0))
    assert fit_full(k, y, FOLDS, OWNER).posterior is None


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
        assert not fit.weights.any() and (fit.posterior.scales == 0).all() and not fit.posterior.directions.any()
        np.testing.assert_array_equal(fit.residuals, y[fit.held])
        np.testing.assert_allclose(fit.cv_mse, (y[fit.held] ** 2).mean(axis=0))


def test_rows_of_a_single_fold_are_as_uncertain_as_they_are_large():
    """Left out together, nothing is known of them: the prediction is zero, the covariance the prior one."""
    k, _, _, y = problem(9)
    everything = np.arange(len(k))
    priors = {s: k[np.ix_(rows_of(s), rows_of(s))] for s in range(N)}
    active = fit_active(k, k, y, everything, OWNER, priors)
    for fit in (fit_full(k, y, [everything], OWNER, variance=True), active):
        np.testing.assert_allclose(fit.residuals, y, atol=1e-9)
        np.testing.assert_allclose(fit.posterior.scales, (y**2).mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(fit.alphas, RELATIVE_ALPHAS[FIRST_TRIED])
        np.testing.assert_allclose(k @ fit.weights, y, atol=0.3)


def sparse(k, y, columns, tiles=3, variance=True, solver="qr", width=1):
    """Fit on an active set, the first fold left out at first."""
    out = FOLDS[0]
    priors = {int(s): k[np.ix_(rows_of(s), rows_of(s))] for s in np.unique(OWNER[out])} if variance else None
    return fit_active(k[np.ix_(columns, columns)], k[:, columns], y, out, OWNER, priors, width, solver, tiles)


@pytest.mark.parametrize("solver", ["qr", "rkhs-qr"])
def test_sparse_with_everything_active_is_full(solver):
    """Predictions, residuals and variances for the same alpha."""
    k, cross, prior, y = problem(5)
    y = y[:, [0, 0, 1]]
    fit = sparse(k, y, np.arange(len(k)), solver=solver)
    for target, alpha in enumerate(fit.alphas):
        mean, _ = gaussian_process(k, cross, prior, y[:, [target]], alpha)
        np.testing.assert_allclose(cross @ fit.weights[:, target], mean[:, 0], atol=1e-7)
        np.testing.assert_allclose(fit.residuals[:, target], left_out(k, y, alpha)[FOLDS[0], target], atol=1e-7)
    np.testing.assert_allclose(fit.cv_mse, (fit.residuals**2).mean(axis=0))
    noise = fit.alphas[0]  # the one in the middle
    assert noise != fit.alphas[2]
    _, expected = gaussian_process(k, cross, prior, y, noise)
    reduced = cross @ fit.posterior.directions
    np.testing.assert_allclose(prior - reduced @ reduced.T, expected, atol=1e-7)


def test_sparse_variances_are_too_large_rather_than_too_small():
    """On fewer columns they are between what all data leave and the prior."""
    k, cross, prior, y = problem(6)
    fit = sparse(k, y, np.arange(0, len(k), 4))
    columns = np.arange(0, len(k), 4)
    reduced = cross[:, columns] @ fit.posterior.directions
    found = np.diag(prior - reduced @ reduced.T)
    _, exact = gaussian_process(k, cross, prior, y, sorted(fit.alphas)[1])
    assert (found >= np.diag(exact) - 1e-9).all() and (found <= np.diag(prior)).all()
    for structure, covariance in fit.covariances.items():
        assert structure % 3 == 0 and np.linalg.eigvalsh(covariance)[0] > -1e-9


def test_tiles_do_not_matter():
    k, _, _, y = problem(7)
    columns = np.arange(0, len(k), 2)
    one, many = (sparse(k, y, columns, tiles, variance=False) for tiles in (1, 6))
    np.testing.assert_allclose(many.weights, one.weights, rtol=1e-5)
    assert one.posterior is None and not one.covariances


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
    k_mm, k_nm = k[np.ix_(rest, rest)], k[:, rest].copy()
    k_nm[out] = 0.0
    priors = {int(s): np.zeros((len(rows_of(s)),) * 2) for s in np.unique(OWNER[out])}
    fit = fit_active(k_mm, k_nm, y, out, OWNER, priors)
    np.testing.assert_allclose(fit.alphas, RELATIVE_ALPHAS[FIRST_TRIED])
    np.testing.assert_allclose(fit.residuals, y[out])
    unit = np.trace(k[np.ix_(rest, rest)]) / len(rest)
    np.testing.assert_allclose(fit.posterior.scales, (y**2).mean(axis=0) / unit)


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
    assert together.posterior.scales == pytest.approx(alone.posterior.scales, rel=0.3)
    assert together.cv_mse == pytest.approx(alone.cv_mse, rel=0.3)


def test_points_that_are_active_twice_change_nothing():
    """The kernel of the active set is singular; alphas, scales, predictions and variances are as without."""
    k, cross, _, y = problem(10)
    columns = np.arange(0, len(k), 2)
    twice = np.append(columns, columns[:4])
    one, two = sparse(k, y, columns), sparse(k, y, twice)
    np.testing.assert_array_equal(two.alphas, one.alphas)
    np.testing.assert_allclose(two.posterior.scales, one.posterior.scales, rtol=1e-6)
    np.testing.assert_allclose(cross[:, twice] @ two.weights, cross[:, columns] @ one.weights, atol=1e-7)
    known = [cross[:, c] @ fit.posterior.directions for c, fit in ((columns, one), (twice, two))]
    np.testing.assert_allclose(known[1] @ known[1].T, known[0] @ known[0].T, atol=1e-7)


def test_variances_of_many_columns_are_from_some_of_them(monkeypatch):
    """Whole samples of them, evenly spaced; the means do not change."""
    k, cross, _, y = problem(11)
    everything = np.arange(len(k))
    before = fit_full(k, y, FOLDS, OWNER, True, width=WIDTH), sparse(k, y, everything, width=WIDTH)
    monkeypatch.setattr("hamlearn.regression.posterior.MOST_FOR_VARIANCE", 4 * WIDTH)
    after = fit_full(k, y, FOLDS, OWNER, True, width=WIDTH), sparse(k, y, everything, width=WIDTH)
    columns = np.concatenate([rows_of(s) for s in (0, 3, 6, 9)])
    for one, fit in zip(before, after, strict=True):
        np.testing.assert_array_equal(fit.weights, one.weights)
        k_ss, k_ns, alpha = k[np.ix_(columns, columns)], k[:, columns], sorted(fit.alphas)[1]
        expected = np.linalg.inv(k_ss) - alpha * np.linalg.inv(k_ns.T @ k_ns + alpha * k_ss)
        reduced = cross[:, columns] @ fit.posterior.directions
        np.testing.assert_allclose(reduced @ reduced.T, cross[:, columns] @ expected @ cross[:, columns].T, atol=1e-6)


def test_no_regularisation_serves_a_kernel_that_is_not_positive():
    k, _, _, y = problem(12)
    with pytest.raises(SingularKernel, match="singular to rounding"):
        fit_full(k + 20 * np.diag((-1.0) ** np.arange(len(k))), y, FOLDS, OWNER)  # eigenvalues down to -20


def test_rows_left_out_beyond_the_cut_off_do_not_count():
    """Neither in the choice of alpha nor in its error, of an active set."""
    k, _, _, y = problem(14)
    out = FOLDS[0]
    rest = np.setdiff1d(np.arange(len(k)), out)

    def fit(n_beyond):
        k_nm = np.vstack([k[:, rest], np.zeros((n_beyond, len(rest)))])
        held = np.concatenate([out, np.arange(len(k), len(k) + n_beyond)])
        return fit_active(k[np.ix_(rest, rest)], k_nm, np.vstack([y, 9.0 * np.ones((n_beyond, 2))]), held)

    np.testing.assert_array_equal(fit(5).alphas, fit(0).alphas)
    np.testing.assert_allclose(fit(5).cv_mse, fit(0).cv_mse)
    sparse = SparseProblem(np.eye(2))
    sparse.keep(np.array([[0.5, 0.0], [0.0, 0.0]]), np.ones((2, 1)), 1)
    assert sparse.reached().tolist() == [True, False]


def test_a_target_that_is_zero_is_predicted_as_zero():
    """Ties between all alphas: the first that is tried stays, whatever the rounding of the others."""
    k, _, _, y = problem(13)
    y[:, 0] = 0.0
    for fit in (fit_full(k, y, FOLDS, OWNER, variance=True), sparse(k, y, np.arange(0, len(k), 2))):
        assert fit.alphas[0] == RELATIVE_ALPHAS[FIRST_TRIED]
        assert not fit.weights[:, 0].any() and fit.posterior.scales[0] == 0 and fit.cv_mse[0] == 0
