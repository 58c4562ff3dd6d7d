import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hamlearn.errors import ConfigError
from hamlearn.kernels import mixture_weights
from hamlearn.regression.folds_and_mixtures import (
    SINGULAR_LOSS,
    cross_validate_mixture,
    fold_indices,
    fold_residuals,
    grid_mixture,
    optimise_mixture,
)
from hamlearn.regression.sparse_solvers import solve_kernel
from hamlearn.testing import TOLERANCE

EXACT = TOLERANCE["float64"]["exact"]


def orders(n=60, max_nu=3):
    """Powers of a linear kernel of unit vectors, and a target with a constant, linear and quadratic part."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4))
    x /= np.linalg.norm(x, axis=1)[:, None]
    y = 3.0 + x[:, 0] + 2 * x[:, 1] * x[:, 2] + 0.01 * rng.normal(size=n)
    return np.stack([(x @ x.T) ** nu for nu in range(max_nu + 1)]), y


def left_out(k, y, folds, variance):
    """Fit again without every fold."""
    residuals = np.zeros_like(y)
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(y)), fold)
        weights = solve_kernel(k[np.ix_(rest, rest)], y[rest], variance[rest])
        residuals[fold] = y[fold] - k[np.ix_(fold, rest)] @ weights
    return residuals


def test_folds():
    assert [fold.tolist() for fold in fold_indices(7, 3)] == [[0, 1, 2], [3, 4], [5, 6]]
    dealt = fold_indices(50, 4, seed=1)
    assert sorted(np.concatenate(dealt)) == list(range(50))
    assert {len(fold) for fold in dealt} == {12, 13}
    assert dealt[0].tolist() == sorted(dealt[0]) != list(range(13))
    assert dealt[2].tolist() == fold_indices(50, 4, seed=1)[2].tolist()
    assert dealt[2].tolist() != fold_indices(50, 4, seed=2)[2].tolist()


@settings(derandomize=True, max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.booleans())
def test_closed_form_is_fitting_again_without_each_fold(seed, k, dealt):
    rng = np.random.default_rng(seed)
    x, y, variance = rng.normal(size=(30, 5)), rng.normal(size=(30, 2)), rng.uniform(0.1, 1, 30)
    folds = fold_indices(30, k, seed if dealt else None)
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


@pytest.mark.parametrize("loss", ("rmse", "mae"))
def test_cross_validated_mixture(loss):
    kernels, y = orders()
    folds, mixture = fold_indices(60, 5), mixture_weights(10.0, 0.7, 100.0, 3)
    residuals = left_out(np.tensordot(mixture, kernels, 1), y, folds, np.full(60, 0.5))
    expected = np.sqrt((residuals**2).mean()) if loss == "rmse" else np.abs(residuals).mean()
    before = kernels.copy()
    assert abs(cross_validate_mixture(kernels, y, mixture, folds, 0.5, loss) - expected) < 1e-9
    np.testing.assert_array_equal(kernels, before)


@pytest.fixture(scope="module")
def problem():
    kernels, y = orders()
    return kernels, y, fold_indices(60, 5)


def test_grid(problem):
    choice = grid_mixture(*problem, log10_a=[1, 2, 3, 4], b=[0.1, 1.0], log10_c0=[2.0, 4.0])
    assert choice.losses.shape == (4, 2, 2)
    assert choice.loss == choice.losses.min() == cross_validate_mixture(*problem[:2], choice.weights, problem[2])
    np.testing.assert_allclose(choice.weights, mixture_weights(choice.a, choice.b, choice.c0, 3))
    where = np.unravel_index(choice.losses.argmin(), choice.losses.shape)
    expected = [1e1, 1e2, 1e3, 1e4][where[0]], [0.1, 1.0][where[1]], [1e2, 1e4][where[2]]
    assert (choice.a, choice.b, choice.c0) == expected
    assert choice.loss < 0.05 < choice.losses.max()


def test_annealing_finds_what_a_grid_finds(problem):
    fine = grid_mixture(*problem, log10_a=np.linspace(0, 8, 9), b=np.logspace(-2, 0, 5), log10_c0=[2.0, 4.0, 6.0])
    bounds = ((0, 8), (0, 1), (2, 6))
    found = optimise_mixture(*problem, max_iterations=40, bounds=bounds)
    assert found.loss < 1.02 * fine.loss
    assert found.loss == found.losses.min()
    assert found.losses[0] == cross_validate_mixture(*problem[:2], mixture_weights(10.0, 0.5, 1e5, 3), problem[2])
    again = optimise_mixture(*problem, max_iterations=40, bounds=bounds)
    assert (again.a, again.b, again.c0, again.loss) == (found.a, found.b, found.c0, found.loss)
    other = optimise_mixture(*problem, max_iterations=5, seed=1, loss="mae", bounds=((2, 3), (0.5, 1), (4, 5)))
    assert 1e2 <= other.a <= 1e3 and 0.5 <= other.b <= 1 and 1e4 <= other.c0 <= 1e5


def test_a_singular_kernel_is_a_large_loss():
    kernels, y = orders(max_nu=1)  # rank 5 of 60
    folds = fold_indices(60, 5)
    assert cross_validate_mixture(kernels, y, [0.0, 1.0], folds, variance=0.0) == SINGULAR_LOSS
    assert cross_validate_mixture(kernels, y, [1e18, 1.0], folds) == SINGULAR_LOSS
    with pytest.raises(ConfigError, match="singular to rounding"):
        fold_residuals(kernels[1], y, folds, 0.0)
    with pytest.raises(ConfigError, match="no mixture of the kernels can be inverted"):
        grid_mixture(kernels, y, folds, variance=0.0)
    found = optimise_mixture(kernels, y, folds, max_iterations=20, bounds=((0, 12), (0, 1), (1, 25)))
    assert found.loss < 1.0 < found.losses.max() == SINGULAR_LOSS


def test_refusals(problem):
    kernels, y, folds = problem
    with pytest.raises(ConfigError, match="order nu = 2 is -1"):
        cross_validate_mixture(kernels, y, [1.0, 1.0, -1.0, 1.0], folds)
    with pytest.raises(ConfigError, match="order nu = 0 is nan"):
        cross_validate_mixture(kernels, y, [np.nan, 1.0, 1.0, 1.0], folds)
    with pytest.raises(ConfigError, match="3 weights for kernels of 4 orders"):
        cross_validate_mixture(kernels, y, [1.0, 1.0, 1.0], folds)
    with pytest.raises(ConfigError, match="the weight of b is -1"):
        grid_mixture(kernels, y, folds, b=[-1.0])
    with pytest.raises(ConfigError, match="the grid is empty"):
        grid_mixture(kernels, y, folds, b=[])
    with pytest.raises(ConfigError, match="three pairs, lowest first"):
        optimise_mixture(kernels, y, folds, bounds=((0, 1), (-1, 1), (0, 1)))
    with pytest.raises(ConfigError, match="NaN or infinite"):
        optimise_mixture(kernels, y, folds, bounds=((0, 1), (0, np.inf), (0, 1)))
    with pytest.raises(ConfigError, match="unknown loss 'max'"):
        grid_mixture(kernels, y, folds, loss="max")
    with pytest.raises(ConfigError, match=r"expected \[nu_max \+ 1, n, n\]"):
        grid_mixture(kernels[0], y, folds)
    with pytest.raises(ConfigError, match="NaN"):
        grid_mixture(kernels * np.nan, y, folds)
    with pytest.raises(ConfigError, match="expected 60 rows"):
        grid_mixture(kernels, y[1:], folds)
    for bad in ([np.array([0, 1]), np.array([1, 2])], [np.array([60])], []):
        with pytest.raises(ConfigError, match="disjoint"):
            grid_mixture(kernels, y, bad)
    for k in (1, 61):
        with pytest.raises(ConfigError, match=f"divided into {k} folds"):
            fold_indices(60, k)
