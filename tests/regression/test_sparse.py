"""Regression with an active set, or on features, against explicit formulae."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.errors import ConfigError
from hamlearn.regression.sparse import JITTER, SparseProblem
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]
SOLVERS = ("normal", "rkhs", "qr", "rkhs-qr")
each_solver = pytest.mark.parametrize("solver", SOLVERS)


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


def solve_sparse(k_mm, k_nm, y, variance, solver="qr", jitter=JITTER):
    problem = SparseProblem(k_mm, y[0].size, 1, solver, jitter)
    problem.add(k_nm, y, variance=variance)
    return problem.weights(1.0).reshape(-1, *y.shape[1:])


def filled(well, solver="qr", tile=64, n_parts=1):
    """Rows in tiles, dealt in turn to the parts."""
    k_mm, k_nm, y, variance = well
    out = SparseProblem(k_mm, 2, n_parts, solver)
    for start in range(0, len(y), tile):
        rows = slice(start, start + tile)
        out.add(k_nm[rows], y[rows], start // tile % n_parts, variance[rows])
    return out


@each_solver
def test_solvers_give_the_formula(well, solver):
    k_mm, k_nm, y, _ = well
    np.testing.assert_allclose(solve_sparse(*well, solver=solver), formula(*well), atol=10 * EXACT)
    single = solve_sparse(k_mm, k_nm, y[:, 0], 0.3, solver=solver)
    assert single.shape == (30,)
    np.testing.assert_allclose(single, formula(k_mm, k_nm, y[:, 0], np.full(150, 0.3)), atol=10 * EXACT)


@each_solver
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


@each_solver
def test_all_data_active_is_kernel_ridge(solver):
    rng = np.random.default_rng(2)
    x, y, variance = rng.normal(size=(40, 3)), rng.normal(size=(40, 1)), rng.uniform(0.1, 1, 40)
    k = gaussian(x, x)
    sparse = k @ solve_sparse(k, k, y, variance, solver)
    np.testing.assert_allclose(sparse, k @ np.linalg.solve(k + np.diag(variance), y), atol=10 * EXACT)


@each_solver
@pytest.mark.parametrize("variance", [1e-12, 0.1])
def test_data_that_are_linear_functionals_of_values(well, solver, variance):
    """Sums and differences of values, such as energies and forces: data in the span of the basis give it back."""
    rng = np.random.default_rng(3)
    k_mm, k_nm, y, _ = well
    rows, truth = rng.normal(size=(200, 150)) @ k_nm, y[:30]
    found = solve_sparse(k_mm, rows, rows @ truth, variance, solver)
    np.testing.assert_allclose(found, formula(k_mm, rows, rows @ truth, np.full(200, variance)), atol=1e-9)
    if variance < 1e-6:
        np.testing.assert_allclose(found, truth, atol=1e-6)


@each_solver
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


@each_solver
@pytest.mark.parametrize("variance", (1e-9, 0.5))
def test_kernels_that_vanish_get_no_weight(solver, variance):
    weights = solve_sparse(np.zeros((3, 3)), np.zeros((8, 3)), np.ones((8, 2)), variance, solver)
    np.testing.assert_array_equal(weights, np.zeros((3, 2)))


@each_solver
@pytest.mark.parametrize("tile", (1, 7, 64, 150))
def test_tiles_are_the_whole(well, solver, tile):
    k_mm, k_nm, y, variance = well
    problem = filled(well, solver, tile)
    np.testing.assert_allclose(problem.weights(1.0), solve_sparse(*well, solver=solver), atol=10 * EXACT)
    rescaled = solve_sparse(k_mm, k_nm, y, 7 * variance, solver)
    np.testing.assert_allclose(problem.weights(7.0), rescaled, atol=10 * EXACT)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_tiles_does_not_matter(well, seed):
    order = np.random.default_rng(seed).permutation(150)
    k_mm, k_nm, y, variance = well
    found = filled((k_mm, k_nm[order], y[order], variance[order]), tile=11).weights(1.0)
    np.testing.assert_allclose(found, formula(*well), atol=10 * EXACT)


@each_solver
def test_parts_are_left_out(well, solver):
    """As if their rows had never been added."""
    k_mm, k_nm, y, variance = well
    problem = filled(well, solver, tile=10, n_parts=3)
    part = np.arange(150) // 10 % 3
    for without in ([], [1], (0, 2)):
        kept = ~np.isin(part, without)
        assert problem.n_rows(without) == kept.sum()
        expected = formula(k_mm, k_nm[kept], y[kept], variance[kept])
        np.testing.assert_allclose(problem.weights(1.0, without), expected, atol=10 * EXACT)
    assert problem.factor([0, 1, 2]).shape == (0, 32)
    np.testing.assert_array_equal(problem.weights(1.0, [0, 1, 2]), 0.0)


@each_solver
@pytest.mark.parametrize("other", SOLVERS)
def test_the_same_rows_for_another_solver(well, solver, other):
    problem = filled(well, solver, tile=10, n_parts=3).solved_by(other)
    np.testing.assert_allclose(problem.weights(1.0), formula(*well), atol=100 * EXACT)
    assert problem.n_rows() == 150 and problem.n_rows([0]) == 100


def test_another_solver_of_features_and_of_a_singular_kernel(well):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(20, 6)), rng.normal(size=(20, 2))
    problem = SparseProblem(6, 2)
    problem.add(x, y)
    np.testing.assert_allclose(problem.solved_by("normal").weights(0.3), problem.weights(0.3), atol=10 * EXACT)
    k_mm, k_nm, y, variance = well
    twice = [*range(30), 3]
    singular = k_mm[np.ix_(twice, twice)], k_nm[:, twice], y, variance
    for other in SOLVERS:
        found = filled(singular, "rkhs-qr").solved_by(other).weights(1.0)
        np.testing.assert_allclose(k_nm[:, twice] @ found, k_nm @ formula(*well), atol=100 * EXACT)


@pytest.mark.parametrize("solver", ["qr", "normal"])
@pytest.mark.parametrize("n", [4, 50])
def test_features_are_a_basis_of_kernel_one(solver, n):
    """Ridge regression, with more rows than features and fewer."""
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, 7)), rng.normal(size=(n, 3))
    problem = SparseProblem(7, 3, solver=solver)
    problem.add(x, y, variance=0.5)
    expected = np.linalg.solve(x.T @ x + 0.5 * np.eye(7), x.T @ y)
    np.testing.assert_allclose(problem.weights(1.0), expected, atol=10 * EXACT)


@pytest.mark.parametrize("variance", [0.3, np.float64(0.3), np.full(150, 0.3)])
def test_one_variance_for_all_or_one_for_each(well, variance):
    k_mm, k_nm, y, _ = well
    problem = SparseProblem(k_mm, 2)
    problem.add(k_nm[:0], y[:0])  # no rows are no change
    problem.add(k_nm, y, variance=variance)
    np.testing.assert_allclose(problem.weights(1.0), formula(k_mm, k_nm, y, np.full(150, 0.3)), atol=10 * EXACT)


@each_solver
@pytest.mark.parametrize("n", (1, 2, 29))
def test_fewer_data_than_active_points(well, solver, n):
    k_mm, k_nm, y, variance = well
    few = k_mm, k_nm[40 : 40 + n], y[40 : 40 + n], variance[40 : 40 + n]
    np.testing.assert_allclose(solve_sparse(*few, solver=solver), formula(*few), atol=10 * EXACT)


@each_solver
def test_further_axes_of_the_data_are_carried_along(well, solver):
    k_mm, k_nm, y, variance = well
    tensor = np.stack([y, y**2, y**3], axis=1)  # [n, 3, 2]
    found = solve_sparse(k_mm, k_nm, tensor, variance, solver)
    assert found.shape == (30, 3, 2)
    for c in range(3):
        np.testing.assert_allclose(found[:, c], formula(k_mm, k_nm, tensor[:, c], variance), atol=1e-10)


def test_rotating_and_permuting_data_and_basis(well):
    """Rows that are turned among each other leave the weights; those of a permuted basis are permuted."""
    rng = np.random.default_rng(5)
    k_mm, k_nm, y, _ = well
    turn = np.linalg.qr(rng.normal(size=(150, 150)))[0]
    expected = formula(k_mm, k_nm, y, np.full(150, 0.2))
    np.testing.assert_allclose(solve_sparse(k_mm, turn @ k_nm, turn @ y, 0.2), expected, atol=100 * EXACT)
    order = rng.permutation(30)
    found = solve_sparse(k_mm[np.ix_(order, order)], k_nm[:, order], y, 0.2)
    np.testing.assert_allclose(found, expected[order], atol=100 * EXACT)


def test_memory_does_not_grow_with_the_data(well):
    k_mm, k_nm, y, variance = well
    problem = SparseProblem(k_mm, 2)
    for _ in range(20):
        problem.add(k_nm, y, 0, variance)
        held = [problem.parts[0]._factor, *problem.parts[0]._pending]
        assert sum(a.size for a in held) <= 3 * 32**2
    repeated = solve_sparse(k_mm, k_nm, y, variance / 20)
    np.testing.assert_allclose(problem.weights(1.0), repeated, atol=10 * EXACT)


@each_solver
def test_a_kernel_that_is_not_positive_is_refused(well, solver):
    with pytest.raises(ConfigError, match="not positive semi-definite"):
        solve_sparse(-well[0], *well[1:], solver=solver)


@each_solver
def test_rows_kept_are_predicted_from_the_other_parts(well, solver):
    """Those of every part from the rest, of one without a factor from all; afterwards they may be taken in."""
    k_mm, k_nm, y, variance = well
    problem = filled(well, solver, tile=50, n_parts=3)
    rows = [np.arange(100, 110), np.arange(0, 20), np.arange(3)]
    for part, kept in zip((2, 0, 7), rows, strict=True):
        for half in np.array_split(kept, 2):
            problem.keep(k_nm[half], y[half], part)
    assert problem.n_rows() == 150
    rests = [np.arange(100), np.arange(50, 150), np.arange(150)]
    weights = [formula(k_mm, k_nm[rest], y[rest], variance[rest]) for rest in rests]
    expected = [y[kept] - k_nm[kept] @ w for kept, w in zip(rows, weights, strict=True)]
    np.testing.assert_allclose(problem.left_out(1.0), np.concatenate(expected), atol=1e-9)
    columns = np.array([0, 4, 29])
    apart = list(problem.rows_apart(columns))
    assert np.concatenate([where for where, *_ in apart]).tolist() == list(range(33))
    for (_, own, k, rest), kept, others in zip(apart, rows, rests, strict=True):
        assert own.tolist() == columns.tolist()
        np.testing.assert_allclose(k, k_nm[np.ix_(kept, columns)], atol=1e-8)
        among = k_nm[np.ix_(others, columns)]
        np.testing.assert_allclose(rest.T @ rest, (among.T / variance[others]) @ among, atol=1e-8)
    assert problem.reached().all()
    problem.take_in_kept()
    assert problem.n_rows() == 183
    more = np.concatenate([np.arange(150), *rows])
    noise = np.append(variance, np.ones(33))
    np.testing.assert_allclose(problem.weights(1.0), formula(k_mm, k_nm[more], y[more], noise), atol=1e-9)
