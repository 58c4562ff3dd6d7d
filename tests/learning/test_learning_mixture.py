"""The mixture of kernel orders of smallest cross-validated error, against fits without each fold."""

import numpy as np
import pytest

from hamlearn.config import KernelRidgeSettings, KernelSettings
from hamlearn.errors import ConfigError
from hamlearn.kernels import mixture_weights
from hamlearn.learning.mixture import SINGULAR_LOSS, MixtureSearch, search_mixture
from hamlearn.regression.folds import fold_indices

N = 60
FOLDS = fold_indices(N, 5)
ONE = np.ones(N)


def orders(max_nu=3):
    """Powers of a linear kernel of unit vectors, and a target with a constant, linear and quadratic part."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    x /= np.linalg.norm(x, axis=1)[:, None]
    y = 3.0 + x[:, 0] + 2 * x[:, 1] * x[:, 2] + 0.01 * rng.normal(size=60)
    return np.stack([(x @ x.T) ** nu for nu in range(max_nu + 1)]), y


def left_out(k, y, variance=ONE):
    """Fit again without every fold."""
    residuals = np.zeros_like(y)
    for fold in FOLDS:
        rest = np.setdiff1d(np.arange(len(y)), fold)
        weights = np.linalg.solve(k[np.ix_(rest, rest)] + np.diag(variance[rest]), y[rest])
        residuals[fold] = y[fold] - k[np.ix_(fold, rest)] @ weights
    return residuals


@pytest.mark.parametrize("loss", ["rmse", "mae"])
def test_errors_are_those_of_folds_left_out(loss):
    kernels, y = orders()
    weights = mixture_weights(10.0, 0.7, 100.0, 3)
    residuals = left_out(np.tensordot(weights, kernels, 1), y)
    expected = np.sqrt((residuals**2).mean()) if loss == "rmse" else np.abs(residuals).mean()
    before = kernels.copy()
    assert MixtureSearch(kernels, y, FOLDS, loss).error(weights) == pytest.approx(expected, abs=1e-9)
    np.testing.assert_array_equal(kernels, before)


def test_the_best_of_a_grid_is_found():
    search = MixtureSearch(*orders(), FOLDS)
    best = search.on_grid([[1, 2, 3, 4], [0.1, 1.0], [2.0, 4.0]])
    mixtures = [(10.0**a, b, 10.0**c0) for a in (1, 2, 3, 4) for b in (0.1, 1.0) for c0 in (2, 4)]
    errors = [search.error(mixture_weights(*mixture, 3)) for mixture in mixtures]
    assert (best.a, best.b, best.c0) == pytest.approx(mixtures[int(np.argmin(errors))])
    np.testing.assert_allclose(best.weights, mixture_weights(best.a, best.b, best.c0, 3))
    assert best.loss == min(errors) < 0.05 < max(errors)


def test_annealing_finds_what_a_fine_grid_finds():
    search = MixtureSearch(*orders(), FOLDS)
    fine = search.on_grid([np.linspace(0, 8, 9), np.logspace(-2, 0, 5), [2.0, 4.0, 6.0]])
    bounds = ((0, 8), (0.01, 1), (2, 6))
    found, again = (search.by_annealing(bounds, 300) for _ in range(2))
    assert found.loss < 1.02 * fine.loss
    assert (again.a, again.b, again.c0, again.loss) == (found.a, found.b, found.c0, found.loss)
    inside = search.by_annealing(((2, 3), (0.5, 1), (4, 5)), 5)
    assert 1e2 <= inside.a <= 1e3 and 0.5 <= inside.b <= 1 and 1e4 <= inside.c0 <= 1e5


def test_a_kernel_that_cannot_be_inverted_has_a_large_error():
    kernels, y = orders(max_nu=1)  # rank 5 of 60
    search = MixtureSearch(kernels, y, FOLDS)
    assert search.error(np.array([1e18, 1.0])) == SINGULAR_LOSS
    with pytest.raises(ConfigError, match=r"no mixture of the kernels can be inverted; .* model\.kernel\.a"):
        search.on_grid([[0.0], [1.0], [20.0]])
    found = search.by_annealing(((0, 12), (0, 1), (1, 25)), 20)
    assert found.loss < 1.0


def test_weights_that_break_positivity_are_refused():
    with pytest.raises(ConfigError, match="the weight of b is -1"):
        MixtureSearch(*orders(), FOLDS).on_grid([[1.0], [-1.0], [2.0]])


@pytest.fixture(scope="module")
def problem():
    return orders()


def error_of(parts, y, weights):
    return np.sqrt((left_out(np.tensordot(weights, parts, 1), y) ** 2).mean())


def settings(**kernel):
    more = {name: kernel.pop(name) for name in ("optimise", "loss") if name in kernel}
    return KernelRidgeSettings(kernel=KernelSettings(max_nu=3, **kernel), **more)


@pytest.mark.parametrize(("optimise", "factor"), [("grid", 1.1), ("annealing", 1.3)])
def test_the_search_of_a_fit_is_as_good_as_a_fine_grid(problem, optimise, factor):
    found = search_mixture(*problem, ONE, settings(optimise=optimise), FOLDS)
    fine = MixtureSearch(*problem, FOLDS).on_grid([np.linspace(0, 8, 9), np.logspace(-2, 1, 7), np.linspace(0, 4, 3)])
    assert found.loss < factor * fine.loss
    assert found.loss == pytest.approx(error_of(*problem, found.weights), rel=1e-6)


@pytest.mark.parametrize("optimise", ["grid", "annealing"])
def test_what_is_given_is_kept(problem, optimise):
    found = search_mixture(*problem, ONE, settings(a=50.0, c0=7.0, optimise=optimise), FOLDS)
    assert (found.a, found.c0) == (pytest.approx(50.0, rel=1e-6), pytest.approx(7.0, rel=1e-6)) and found.b > 0
    np.testing.assert_allclose(found.weights, mixture_weights(found.a, found.b, found.c0, 3))
    without = search_mixture(*problem, ONE, settings(c0=0.0), FOLDS)
    assert without.c0 == without.weights[0] == 0.0


def test_tensors_have_no_constant_and_single_orders_no_rate(problem):
    """Kernels of order 0 vanish for them; one weight is enough for one order."""
    kernels, y = problem
    of_tensor = search_mixture(np.concatenate([0 * kernels[:1], kernels[1:]]), y - 3, ONE, settings(), FOLDS)
    assert of_tensor.c0 == 0.0 and of_tensor.weights[0] == 0.0
    single = KernelRidgeSettings(kernel=KernelSettings(kind="order", max_nu=2))
    found = search_mixture(kernels[[0, 2]], y, ONE, single, FOLDS)
    assert found.b == 1.0 and found.weights.tolist() == [found.c0, found.a]


def test_errors_are_counted_in_tolerances(problem):
    """A datum with a hundred times the variance counts a hundredth, and pulls as little."""
    kernels, y = problem
    variance = np.where(np.arange(N) % 2, 1.0, 100.0)
    found = search_mixture(kernels, y, variance, settings(), FOLDS)
    residuals = left_out(np.tensordot(found.weights, kernels, 1), y, variance)
    assert found.loss == pytest.approx(np.sqrt((residuals**2 / variance).mean()), rel=1e-6)


def test_pairs_get_their_weight_after_the_orders(problem):
    """A part of the data that the orders do not reach is left to the additive kernel; useless ones get none."""
    kernels, y = problem
    z = np.random.default_rng(1).normal(size=(N, 2))
    additive = z @ z.T
    useless = np.eye(N)
    both = np.concatenate([kernels, additive[None], useless[None]])
    chosen = settings(additive=("pair", "triangle"))
    found = search_mixture(both, y + 5 * z[:, 0], ONE, chosen, FOLDS)
    alone = search_mixture(kernels, y + 5 * z[:, 0], ONE, settings(), FOLDS)
    assert found.loss < 0.2 * alone.loss
    assert found.weights[4] > 0 and len(found.weights) == 6
    assert found.loss == pytest.approx(error_of(both, y + 5 * z[:, 0], found.weights), rel=1e-6)
    assert found.loss <= MixtureSearch(both, y + 5 * z[:, 0], FOLDS).error(np.array([*found.weights[:5], 0.0])) * (
        1 + 1e-9
    )
    kept = search_mixture(both, y, ONE, settings(additive=("pair", "triangle"), a=50.0), FOLDS)
    assert kept.a == pytest.approx(50.0)
