"""Variances in closed form against dense Gaussian processes."""

from dataclasses import replace

import numpy as np
import pytest

from hamlearn.regression.full import RegularisedKernel
from hamlearn.regression.positive import active_root
from hamlearn.regression.posterior import MOST_FOR_VARIANCE, Posterior, damping, variance_columns
from hamlearn.regression.posterior import variance_factor as factor_by_root
from hamlearn.regression.sparse import SparseProblem
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def variance_factor(k_ss, rows, alpha):
    return factor_by_root(active_root(k_ss), rows, alpha)


def gaussian(a, b):
    return np.exp(-((a[:, None] - b) ** 2).sum(-1) / 0.5)


def row_variances(posterior, k, priors):
    """Variance of single rows [target, row], each a structure of its own."""
    covariances = posterior.covariances(k, [1] * len(k), np.reshape(priors, (-1, 1, 1)))
    return np.concatenate(covariances, axis=1)[:, :, 0]


@pytest.fixture(scope="module")
def points():
    """Data, active points, new points, values and variances."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(60, 3))
    return x, x[:15], rng.uniform(-1, 1, size=(20, 3)), np.sin(x[:, 0]) + x[:, 1] * x[:, 2], rng.uniform(0.01, 0.1, 60)


def one(value):
    return np.array([value])


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
    expected = x[:, :4] @ np.linalg.inv(z[:, :4].T @ z[:, :4] + alpha * np.eye(4)) @ x[:, :4].T
    np.testing.assert_allclose(k - (k @ f) @ (k @ f).T, alpha * expected, atol=1e-10)
    assert np.linalg.norm(cross @ f) < np.inf


@pytest.mark.parametrize("solver", ("normal", "rkhs", "qr", "rkhs-qr"))
def test_sparse_variance_is_that_of_the_projected_process(points, solver):
    """From the factor of all rows, whichever basis the solver takes."""
    x, m, new, y, variance = points
    k_mm, k_nm, k_new = gaussian(m, m), gaussian(x, m), gaussian(new, m)
    problem = SparseProblem(k_mm, solver=solver)
    problem.add(k_nm, y, 0, variance)
    rows = problem.factor()[:, : problem.rank]
    rows = rows if problem.root is None else rows @ problem.root.T @ k_mm
    posterior = Posterior.of_factor(variance_factor(k_mm, rows, 1.0), one(1.0), one(1.0))
    inverse = np.linalg.inv(k_mm) - np.linalg.inv(k_mm + (k_nm.T / variance) @ k_nm)
    expected = gaussian(new, new) - k_new @ inverse @ k_new.T
    np.testing.assert_allclose(row_variances(posterior, k_new, np.ones(20))[0], expected.diagonal(), atol=1e-9)
    first, second = posterior.covariances(k_new, [12, 8], [gaussian(a, a) for a in (new[:12], new[12:])])
    np.testing.assert_allclose(first[0], expected[:12, :12], atol=1e-9)
    np.testing.assert_allclose(second[0], expected[12:, 12:], atol=1e-9)


def test_all_data_active_has_the_variance_of_the_full_process(points):
    x, _, new, y, variance = points
    x, y, variance = x[:25], y[:25], variance[:25]
    k, k_new = gaussian(x, x), gaussian(new, x)
    problem = SparseProblem(k)
    problem.add(k, y[:, None], variance=variance)
    sparse, full = problem.weights(1.0)[:, 0], np.linalg.solve(k + np.diag(variance), y)
    np.testing.assert_allclose(k_new @ sparse, k_new @ full, atol=1e-9)
    factor = variance_factor(k, k / np.sqrt(variance)[:, None], 1.0)
    found = row_variances(Posterior.of_factor(factor, one(1.0), one(1.0)), k_new, np.ones(20))[0]
    known = ((k_new @ RegularisedKernel(k, variance).inverse_root()) ** 2).sum(axis=1)
    np.testing.assert_allclose(found, 1.0 - known, atol=1e-9)


def test_far_from_all_data_the_variance_is_the_prior(points):
    x, _, new, _, _ = points
    posterior = Posterior.of_factor(variance_factor(gaussian(x, x), gaussian(x, x), 0.1), one(3.0), one(0.1))
    np.testing.assert_allclose(row_variances(posterior, gaussian(new + 100, x), np.ones(20)), 3.0, atol=EXACT)


@pytest.mark.parametrize("copies", [1, 2])
def test_no_variance_where_data_are_exact(points, copies):
    """Also where each stands twice; nor a negative one but for rounding."""
    x = np.tile(points[0][:20], (copies, 1))
    posterior = Posterior.of_factor(variance_factor(gaussian(x, x), gaussian(x, x), 1e-14), one(1.0), one(1e-14))
    found = row_variances(posterior, gaussian(x[:20], x), np.ones(20))
    assert np.abs(found).max() < 1e-8


def test_duplicates_and_points_without_neighbours_change_no_variance(points):
    x, m, new, _, _ = points
    again = np.concatenate([m, m[[4]], m[[4]], m[[9]]])
    k_mm = np.pad(gaussian(again, again), (0, 1))
    k_nm, k_new = (np.pad(gaussian(a, again), ((0, 0), (0, 1))) for a in (x, new))
    plain, more = (
        Posterior.of_factor(variance_factor(a, b, 0.05), one(1.0), one(0.05))
        for a, b in ((gaussian(m, m), gaussian(x, m)), (k_mm, k_nm))
    )
    expected = row_variances(plain, gaussian(new, m), np.ones(20))
    np.testing.assert_allclose(row_variances(more, k_new, np.ones(20)), expected, atol=1e-7)


def ridge(x, alphas, scales):
    """Posterior of weights on features x."""
    _, s, vt = np.linalg.svd(x, full_matrices=False)
    return Posterior(vt.T, s**2, alphas, scales)


@pytest.mark.parametrize("rows", [4, 30])
def test_features_against_a_dense_gaussian_process(rows):
    """Covariances with their noise, and variances of single rows, for every target."""
    rng = np.random.default_rng(rows)
    x, new, alphas, scales = (
        rng.normal(size=(rows, 9)),
        rng.normal(size=(5, 9)),
        np.array([0.3, 1e-3]),
        np.array([2, 0.7]),
    )
    posterior = ridge(x, alphas, scales)
    found = posterior.covariances(new, [2, 0, 3])
    variances = row_variances(posterior, new, (new**2).sum(axis=1))
    assert [v.shape for v in found] == [(2, 2, 2), (2, 0, 0), (2, 3, 3)]
    for target, (alpha, scale) in enumerate(zip(alphas, scales, strict=True)):
        inverse = np.linalg.inv(x.T @ x / alpha + np.eye(9))
        expected = scale * (new @ inverse @ new.T + alpha * np.eye(5))
        np.testing.assert_allclose(found[0][target], expected[:2, :2], rtol=1e-9, atol=EXACT)
        np.testing.assert_allclose(found[2][target], expected[2:, 2:], rtol=1e-9, atol=EXACT)
        np.testing.assert_allclose(variances[target], expected.diagonal(), rtol=1e-9)
    doubled = replace(posterior, scales=2 * scales).covariances(new, [2, 0, 3])
    np.testing.assert_allclose(doubled[2], 2 * found[2])


def test_features_and_their_kernel_have_one_posterior():
    """In the basis where the kernel of an active set is 1, priors given, what lies outside included."""
    rng = np.random.default_rng(1)
    x, m, new, alphas, scales = (
        *(rng.normal(size=(n, 6)) for n in (30, 4, 5)),
        np.array([0.2, 1e-4]),
        np.array([1.0, 3.0]),
    )
    root = np.linalg.inv(np.linalg.cholesky(m @ m.T)).T  # root^T K_MM root = 1
    in_basis = ridge(x @ m.T @ root, alphas, scales)
    posterior = Posterior(root @ in_basis.directions, in_basis.squares, alphas, scales)
    found = posterior.covariances(new @ m.T, [5], [new @ new.T])[0]
    for target, (alpha, scale) in enumerate(zip(alphas, scales, strict=True)):
        projector = np.linalg.pinv(m) @ m
        a = x @ projector
        inside = alpha * np.linalg.pinv(a.T @ a + alpha * projector, rcond=1e-10)
        expected = scale * (new @ (np.eye(6) - projector + inside) @ new.T + alpha * np.eye(5))
        np.testing.assert_allclose(found[target], expected, atol=1e-9)
    np.testing.assert_allclose(
        row_variances(posterior, new @ m.T, (new**2).sum(axis=1)), np.diagonal(found, axis1=1, axis2=2), atol=1e-9
    )


def test_small_variances_are_no_differences_of_large_ones():
    """1e-20 of the prior is left, where a difference would leave 1e-16 of it or a negative number."""
    x = np.eye(3)
    posterior = Posterior(x, np.full(3, 1e8), one(1e-12), one(1.0), noise=0.0)
    np.testing.assert_allclose(posterior.covariances(x, [3])[0][0], 1e-20 * np.eye(3), rtol=1e-9, atol=0)
    np.testing.assert_allclose(row_variances(posterior, x, np.ones(3)), 1e-20, rtol=1e-9)


def test_noise_is_added_where_it_is_asked_for(points):
    x, _, new, _, _ = points
    factor, alphas, scales = (
        variance_factor(gaussian(x, x), gaussian(x, x), 0.1),
        np.array([0.1, 0.3]),
        np.array([1, 2]),
    )
    k_new, priors = gaussian(new, x), [gaussian(new, new)]
    without, half = (Posterior.of_factor(factor, scales, alphas, noise) for noise in (0.0, 0.5))
    expected = without.covariances(k_new, [20], priors)[0] + (0.5 * scales * alphas)[:, None, None] * np.eye(20)
    np.testing.assert_allclose(half.covariances(k_new, [20], priors)[0], expected, atol=EXACT)
    found = row_variances(half, k_new, np.ones(20))
    np.testing.assert_allclose(found, np.diagonal(expected, axis1=1, axis2=2), atol=1e-9)
    exact = RegularisedKernel(gaussian(x, x), 0.1).weights(k_new.T)
    found = row_variances(without, k_new, np.ones(20))[0]
    np.testing.assert_allclose(found, 1 - (k_new * exact.T).sum(axis=1), atol=1e-9)


def test_rotated_rows_have_rotated_covariances(points):
    x, m, new, _, _ = points
    posterior = Posterior.of_factor(variance_factor(gaussian(m, m), gaussian(x, m), 0.1), one(1.0), one(0.1), 1.0)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(20, 20)))[0]
    before = posterior.covariances(gaussian(new, m), [20], [gaussian(new, new)])[0][0]
    after = posterior.covariances(turn @ gaussian(new, m), [20], [turn @ gaussian(new, new) @ turn.T])[0][0]
    np.testing.assert_allclose(after, turn @ before @ turn.T, atol=100 * EXACT)


def test_arrays_hold_everything():
    posterior = ridge(np.random.default_rng(3).normal(size=(5, 3)), np.array([0.1, 0.2]), np.array([1.0, 2.0]))
    for known in (posterior, Posterior.of_factor(posterior.directions, one(1.0), one(0.1), noise=0.25)):
        again = Posterior.from_arrays(known.arrays())
        assert again.noise == known.noise and isinstance(again.noise, float)
        for name, array in known.arrays().items():
            assert array.dtype == np.float64
            np.testing.assert_array_equal(getattr(again, name), array)


def test_damping():
    found = damping(np.array([0.0, 3.0, np.inf]), np.array([1.0, 1e-16]))
    np.testing.assert_allclose(found, [[1, 0.25, 0], [1, 1e-16 / 3, 0]])


def test_columns_of_variances_are_whole_samples():
    assert variance_columns(12, 3).tolist() == list(range(12))
    many = variance_columns(3 * MOST_FOR_VARIANCE, 3)
    assert len(many) == MOST_FOR_VARIANCE and many[:3].tolist() == [0, 1, 2] and many[-1] == 3 * MOST_FOR_VARIANCE - 1
    assert (many.reshape(-1, 3) % 3 == [0, 1, 2]).all() and (np.diff(many[::3]) > 0).all()
    assert len(variance_columns(5 * MOST_FOR_VARIANCE, MOST_FOR_VARIANCE + 1)) == MOST_FOR_VARIANCE + 1  # one at least
