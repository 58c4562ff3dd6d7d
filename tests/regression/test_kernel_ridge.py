import numpy as np
import pytest

from hamlearn.errors import ConfigError
from hamlearn.regression.kernel_ridge import KernelRidge, SparseKernelRidge, duplicate_points
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def gaussian(a, b):
    return np.exp(-((a[:, None] - b) ** 2).sum(-1) / 0.5)


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(60, 3))
    return x, x[:15], rng.uniform(-1, 1, size=(20, 3)), np.sin(x[:, 0]) + x[:, 1] * x[:, 2], rng.uniform(0.01, 0.1, 60)


def test_predicts_and_knows_how_well(points):
    x, _, new, y, variance = points
    model = KernelRidge().fit(gaussian(x, x), y, variance)
    inverse = np.linalg.inv(gaussian(x, x) + np.diag(variance))
    np.testing.assert_allclose(model.predict(gaussian(new, x)), gaussian(new, x) @ inverse @ y, atol=10 * EXACT)
    expected = gaussian(new, new) - gaussian(new, x) @ inverse @ gaussian(x, new)
    found = model.variance(np.ones(20), gaussian(new, x))
    np.testing.assert_allclose(found, expected.diagonal(), atol=10 * EXACT)
    error = model.predict(gaussian(new, x)) - np.sin(new[:, 0]) - new[:, 1] * new[:, 2]
    assert np.abs(error / np.sqrt(found)).max() < 4
    far = model.variance([1.0], gaussian(new[:1] + 100, x))
    np.testing.assert_allclose(far, 1.0, atol=EXACT)


def test_no_variance_where_data_are_exact(points):
    x, _, _, y, _ = points
    model = KernelRidge().fit(gaussian(x[:20], x[:20]), y[:20], 0.0)
    assert model.variance(np.ones(20), gaussian(x[:20], x[:20])).max() < 1e-8
    twice = np.concatenate([x[:20], x[:20]])
    repeated = KernelRidge().fit(gaussian(twice, twice), np.tile(y[:20], 2), 0.0)
    assert repeated.variance(np.ones(20), gaussian(x[:20], twice)).max() < 1e-8


@pytest.mark.parametrize("solver", ("normal", "rkhs", "qr", "rkhs-qr"))
def test_sparse_variance_is_that_of_the_projected_process(points, solver):
    x, m, new, y, variance = points
    k_mm, k_nm, k_new = gaussian(m, m), gaussian(x, m), gaussian(new, m)
    model = SparseKernelRidge(solver).fit(k_mm, k_nm, y, variance)
    inverse = np.linalg.inv(k_mm) - np.linalg.inv(k_mm + (k_nm.T / variance) @ k_nm)
    expected = 1.0 - np.einsum("ni,ij,nj->n", k_new, inverse, k_new)
    np.testing.assert_allclose(model.variance(np.ones(20), k_new), expected, atol=1e-9)
    np.testing.assert_allclose(model.predict(k_new), k_new @ model.weights_, atol=0)


def test_all_data_active_has_the_variance_of_the_full_process(points):
    x, _, new, y, variance = points
    x, y, variance = x[:25], y[:25], variance[:25]
    k, k_new = gaussian(x, x), gaussian(new, x)
    full, sparse = KernelRidge().fit(k, y, variance), SparseKernelRidge().fit(k, k, y, variance)
    np.testing.assert_allclose(sparse.predict(k_new), full.predict(k_new), atol=1e-9)
    np.testing.assert_allclose(sparse.variance(np.ones(20), k_new), full.variance(np.ones(20), k_new), atol=1e-9)


def test_tiles_and_tensors(points):
    """Further axes of the data, such as components of a tensor, are carried along."""
    x, m, new, y, variance = points
    y = np.stack([y, y**2, y**3], axis=1).reshape(60, 3, 1)
    whole = SparseKernelRidge().fit(gaussian(m, m), gaussian(x, m), y, variance)
    tiles = [(gaussian(x[i : i + 13], m), y[i : i + 13], variance[i : i + 13]) for i in range(0, 60, 13)]
    tiled = SparseKernelRidge().fit_tiles(gaussian(m, m), iter(tiles))
    assert tiled.predict(gaussian(new, m)).shape == (20, 3, 1)
    np.testing.assert_allclose(tiled.weights_, whole.weights_, atol=1e-9)
    assert KernelRidge().fit(gaussian(x, x), y, variance).predict(gaussian(new, x)).shape == (20, 3, 1)


def test_duplicates_are_reported_and_change_nothing(points):
    x, m, new, y, variance = points
    again = np.concatenate([m, m[[4]], m[[4]], m[[9]]])
    k_mm = np.pad(gaussian(again, again), (0, 1))  # and one without neighbours
    k_nm, k_new = np.pad(gaussian(x, again), ((0, 0), (0, 1))), np.pad(gaussian(new, again), ((0, 0), (0, 1)))
    plain = SparseKernelRidge().fit(gaussian(m, m), gaussian(x, m), y, variance)
    model = SparseKernelRidge().fit(k_mm, k_nm, y, variance)
    assert plain.duplicates_.size == 0
    assert model.duplicates_.tolist() == [15, 16, 17, 18]
    np.testing.assert_allclose(model.predict(k_new), plain.predict(gaussian(new, m)), atol=1e-9)
    expected = plain.variance(np.ones(20), gaussian(new, m))
    np.testing.assert_allclose(model.variance(np.ones(20), k_new), expected, atol=1e-7)
    assert duplicate_points(np.zeros((2, 2))).tolist() == [0, 1]


def test_refusals(points):
    x, m, new, y, variance = points
    with pytest.raises(ConfigError, match="this KernelRidge was not fitted"):
        KernelRidge().predict(np.ones((1, 1)))
    model = KernelRidge().fit(gaussian(x, x), y, variance)
    with pytest.raises(ConfigError, match=r"shape \[20, 15\]; expected a matrix \[any, 60\]"):
        model.predict(gaussian(new, m))
    with pytest.raises(ConfigError, match=r"with themselves has shape \[19\]; expected \[20\]"):
        model.variance(np.ones(19), gaussian(new, x))
    with pytest.raises(ConfigError, match="the data have shape"):
        model.fit(gaussian(x, x), y[1:], 1.0)
    exact = SparseKernelRidge().fit(gaussian(m, m), gaussian(x, m), y, 0.0)
    with pytest.raises(ConfigError, match="has no variance"):
        exact.variance(np.ones(20), gaussian(new, m))
