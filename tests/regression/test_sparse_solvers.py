import numpy as np
import pytest

from hamlearn.errors import ConfigError
from hamlearn.regression.sparse_solvers import SparseAccumulator, solve_kernel, solve_sparse, triangle
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SOLVERS = ("normal", "rkhs", "qr", "rkhs-qr")


def gaussian(a, b, width=0.3):
    return np.exp(-((a[:, None] - b) ** 2).sum(-1) / (2 * width**2))


@pytest.fixture(scope="module")
def well():
    """Well-conditioned kernels of 150 points, 30 of them active, with noise that differs from datum to datum."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    m = x[:30]
    y, variance = rng.normal(size=(150, 2)), rng.uniform(0.1, 1.0, 150)
    return gaussian(m, m), gaussian(x, m), y, variance


def formula(k_mm, k_nm, y, variance):
    weighted = k_nm.T / variance
    return np.linalg.solve(k_mm + weighted @ k_nm, weighted @ y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_give_the_formula(well, solver):
    k_mm, k_nm, y, _ = well
    np.testing.assert_allclose(solve_sparse(*well, solver=solver), formula(*well), atol=10 * EXACT)
    single = solve_sparse(k_mm, k_nm, y[:, 0], 0.3, solver=solver)
    assert single.shape == (30,)
    np.testing.assert_allclose(single, formula(k_mm, k_nm, y[:, 0], np.full(150, 0.3)), atol=10 * EXACT)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_loss_is_smallest_at_the_solution(well, solver):
    """The gradient of |K_NM x - y|^2_{Lambda^-1} + x^T K_MM x vanishes."""
    k_mm, k_nm, y, variance = well
    x = solve_sparse(*well, solver=solver)
    assert np.abs((k_nm.T / variance) @ (k_nm @ x - y) + k_mm @ x).max() < 10 * EXACT


def test_orthogonal_solvers_keep_the_digits_that_normal_equations_lose():
    """Against 60 digits, for kernels of condition number 3e8."""
    mp = pytest.importorskip("mpmath")
    x = np.linspace(0, 1, 60)[:, None]
    m, y, variance = x[::6], np.sin(7 * x[:, 0]), 1e-6
    k_mm, k_nm = gaussian(m, m), gaussian(x, m)
    with mp.workdps(60):
        a, b = mp.matrix(k_mm.tolist()), mp.matrix(k_nm.tolist())
        weights = mp.lu_solve(a + b.T * b / mp.mpf(variance), b.T * mp.matrix(y.tolist()) / mp.mpf(variance))
        exact = np.array([float(value) for value in b * weights])
    error = {s: np.abs(k_nm @ solve_sparse(k_mm, k_nm, y, variance, s, jitter=0.0) - exact).max() for s in SOLVERS}
    assert max(error["rkhs"], error["qr"], error["rkhs-qr"]) < 1e-10
    assert error["normal"] > 1e3 * error["qr"]


def test_full_kernel():
    rng = np.random.default_rng(1)
    x, y, variance = rng.normal(size=(40, 3)), rng.normal(size=40), rng.uniform(0.1, 1, 40)
    k = gaussian(x, x)
    np.testing.assert_allclose((k + np.diag(variance)) @ solve_kernel(k, y, variance), y, atol=EXACT)
    np.testing.assert_allclose(k @ solve_kernel(k, y, 0.0), y, atol=EXACT)
    before = k.copy()
    solve_kernel(k, y, 1.0)
    np.testing.assert_array_equal(k, before)


@pytest.mark.parametrize("solver", SOLVERS)
def test_all_data_active_is_kernel_ridge(solver):
    rng = np.random.default_rng(2)
    x, y, variance = rng.normal(size=(40, 3)), rng.normal(size=(40, 1)), rng.uniform(0.1, 1, 40)
    k = gaussian(x, x)
    sparse = k @ solve_sparse(k, k, y, variance, solver)
    np.testing.assert_allclose(sparse, k @ solve_kernel(k, y, variance), atol=10 * EXACT)


@pytest.mark.parametrize("solver", SOLVERS)
def test_without_tolerances_least_squares(well, solver):
    k_mm, k_nm, y, _ = well
    expected = np.linalg.lstsq(k_nm, y)[0]
    np.testing.assert_allclose(solve_sparse(k_mm, k_nm, y, 0.0, solver), expected, atol=10 * EXACT)
    accumulator = SparseAccumulator(k_mm, solver)
    accumulator.add(k_nm, y)
    np.testing.assert_allclose(accumulator.solve(0.0), expected, atol=10 * EXACT)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("jitter", (0.0, 1e-14))
def test_repeated_and_empty_active_points_change_nothing(well, solver, jitter):
    k_mm, k_nm, y, variance = well
    twice = [*range(30), 3, 7, 3]
    padded_mm, padded_nm = np.zeros((35, 35)), np.zeros((150, 35))  # the last two have no neighbours at all
    padded_mm[:33, :33], padded_nm[:, :33] = k_mm[np.ix_(twice, twice)], k_nm[:, twice]
    weights = solve_sparse(padded_mm, padded_nm, y, variance, solver, jitter)
    np.testing.assert_allclose(padded_nm @ weights, k_nm @ formula(*well), atol=10 * EXACT)
    assert np.abs(weights).max() < 2 * np.abs(formula(*well)).max()
    assert not weights[33:].any()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("variance", (0.0, 0.5))
def test_kernels_that_vanish_get_no_weight(solver, variance):
    weights = solve_sparse(np.zeros((3, 3)), np.zeros((8, 3)), np.ones((8, 2)), variance, solver)
    np.testing.assert_array_equal(weights, np.zeros((3, 2)))
    np.testing.assert_array_equal(solve_kernel(np.zeros((4, 4)), np.ones(4), 0.0), np.zeros(4))


def test_duplicates_of_data_interpolate_their_mean():
    x = np.array([[0.0], [0.0], [1.0]])
    k = gaussian(x, x)
    np.testing.assert_allclose(k @ solve_kernel(k, np.array([1.0, 2.0, 5.0]), 0.0), [1.5, 1.5, 5.0], atol=EXACT)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("tile", (1, 7, 64, 150))
def test_tiles_are_the_whole(well, solver, tile):
    k_mm, k_nm, y, variance = well
    accumulator = SparseAccumulator(k_mm, solver)
    for start in range(0, 150, tile):
        rows = slice(start, start + tile)
        accumulator.add(k_nm[rows], y[rows], variance[rows])
    np.testing.assert_allclose(accumulator.solve(), solve_sparse(*well, solver=solver), atol=10 * EXACT)
    rescaled = solve_sparse(k_mm, k_nm, y, 7 * variance, solver)
    np.testing.assert_allclose(accumulator.solve(regulariser_scale=7.0), rescaled, atol=10 * EXACT)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n", (1, 2, 29))
def test_fewer_data_than_active_points(well, solver, n):
    k_mm, k_nm, y, variance = well
    few = k_mm, k_nm[40 : 40 + n], y[40 : 40 + n], variance[40 : 40 + n]
    np.testing.assert_allclose(solve_sparse(*few, solver=solver), formula(*few), atol=10 * EXACT)


def test_memory_does_not_grow_with_the_data(well):
    k_mm, k_nm, y, variance = well
    accumulator = SparseAccumulator(k_mm)
    for _ in range(20):
        accumulator.add(k_nm, y, variance)
        held = [accumulator._reduced, *accumulator._pending]
        assert sum(0 if a is None else a.size for a in held) <= 3 * 32**2
    repeated = solve_sparse(k_mm, k_nm, y, variance / 20)
    np.testing.assert_allclose(accumulator.solve(), repeated, atol=10 * EXACT)


def test_refusals(well):
    k_mm, k_nm, y, variance = well
    with pytest.raises(ConfigError, match=r"unknown solver 'qrr'; expected .*; did you mean 'qr'"):
        solve_sparse(*well, solver="qrr")
    with pytest.raises(ConfigError, match="jitter is -1"):
        solve_sparse(*well, jitter=-1.0)
    with pytest.raises(ConfigError, match=r"shape \[150, 29\]; expected a matrix \[any, 30\]"):
        solve_sparse(k_mm, k_nm[:, 1:], y, variance)
    with pytest.raises(ConfigError, match=r"the data have shape .* expected 150 rows"):
        solve_sparse(k_mm, k_nm, y[1:], variance)
    with pytest.raises(ConfigError, match="the variance has shape"):
        solve_sparse(k_mm, k_nm, y, variance[1:])
    with pytest.raises(ConfigError, match="the variance of a datum is -1"):
        solve_sparse(k_mm, k_nm, y, -1.0)
    with pytest.raises(ConfigError, match="all positive, or all zero"):
        solve_sparse(k_mm, k_nm, y, np.where(np.arange(150) < 5, 0.0, 1.0))
    with pytest.raises(ConfigError, match=r"the data holds 1 numbers that are NaN .* first at \[4, 1\]"):
        solve_sparse(k_mm, k_nm, np.where(np.arange(300).reshape(150, 2) == 9, np.nan, y), variance)
    with pytest.raises(ConfigError, match="30 active points for 20 data"):
        solve_sparse(k_mm, k_nm[:20], y[:20], 0.0)
    with pytest.raises(ConfigError, match="not positive semi-definite"):
        solve_sparse(-k_mm, k_nm, y, variance)
    with pytest.raises(ConfigError, match="not positive semi-definite"):
        solve_kernel(-k_mm, y[:30], 0.1)
    with pytest.raises(ConfigError, match="no data"):
        SparseAccumulator(k_mm).solve()
    accumulator = SparseAccumulator(k_mm)
    accumulator.add(k_nm, y, variance)
    with pytest.raises(ConfigError, match="follow others"):
        accumulator.add(k_nm, y[:, :1], variance)
    with pytest.raises(ConfigError, match="regulariser_scale is -1"):
        accumulator.solve(-1.0)


@pytest.mark.parametrize(("n_rows", "is_upper"), [(3, False), (40, False), (12, True), (9, True), (0, False)])
@pytest.mark.parametrize("from_zero", [False, True])
def test_triangles_take_in_rows_and_triangles(n_rows, is_upper, from_zero):
    rng, n = np.random.default_rng(0), 12
    upper = np.zeros((n, n)) if from_zero else np.triu(rng.normal(size=(n, n)))
    rows = rng.normal(size=(n_rows, n))
    rows = np.triu(rows) if is_upper else rows
    before = upper.copy(), rows.copy()
    found = triangle(upper, rows, is_upper)
    np.testing.assert_allclose(found.T @ found, upper.T @ upper + rows.T @ rows, atol=1e-12)
    np.testing.assert_array_equal(np.tril(found, -1), 0.0)
    np.testing.assert_array_equal(upper, before[0])
    np.testing.assert_array_equal(rows, before[1])
