"""Ratios of squared errors to variances, against Gaussian processes made anew for every fold."""

import numpy as np
import pytest

from hamlearn.regression.calibration import ratio_of_active, ratio_of_data
from hamlearn.regression.full import RegularisedKernel
from hamlearn.regression.sparse import SparseProblem

N_FOLDS = 3


def gaussian(a, b):
    return np.exp(-((a[:, None] - b) ** 2).sum(-1) / 2)


@pytest.mark.parametrize("n_values", [30, 18])
def test_ratio_of_data_is_that_of_the_left_out_values(n_values):
    """Data that are no values, such as forces, are trained on but not counted."""
    rng = np.random.default_rng(0)
    x, y, variance = rng.normal(size=(30, 2)), rng.normal(size=(30, 1)), rng.uniform(0.1, 0.5, 30)
    k, folds = gaussian(x, x), [np.arange(f, 30, N_FOLDS) for f in range(N_FOLDS)]
    ratios = []
    for fold in folds:
        rest = np.setdiff1d(np.arange(30), fold)
        solved = np.linalg.solve(k[np.ix_(rest, rest)] + np.diag(variance[rest]), k[np.ix_(rest, fold)])
        error = y[fold, 0] - solved.T @ y[rest, 0]
        spread = k[np.ix_(fold, fold)].diagonal() - (k[np.ix_(fold, rest)] * solved.T).sum(axis=1) + variance[fold]
        ratios += [e**2 / s for e, s, row in zip(error, spread, fold, strict=True) if row < n_values]
    assert len(ratios) == n_values
    assert ratio_of_data(RegularisedKernel(k, variance), y, folds, n_values) == pytest.approx(np.mean(ratios), rel=1e-9)


@pytest.fixture(scope="module")
def active():
    """A problem of three folds, each with values of its own, and an active set of which every fold has a part."""
    rng = np.random.default_rng(1)
    x, m = rng.normal(size=(45, 3)), rng.normal(size=(9, 3))
    y, owner, noise = np.sin(x[:, 0]), np.arange(9) % N_FOLDS, 0.05
    problem = SparseProblem(gaussian(m, m), 1, N_FOLDS, "rkhs-qr")
    for fold in range(N_FOLDS):
        problem.add(gaussian(x[fold::3], m) / np.sqrt(noise), y[fold::3] / np.sqrt(noise), fold)
    values = [np.column_stack([gaussian(x[f::3], m) @ problem.root, y[f::3]]) for f in range(N_FOLDS)]
    features = problem.root.T @ gaussian(m, m)
    maps = []
    for fold in range(N_FOLDS):
        kept = owner != fold
        lower = np.linalg.cholesky(gaussian(m[kept], m[kept]))
        maps.append(features[:, kept] @ np.linalg.inv(lower).T)
    return x, m, y, owner, noise, problem, values, maps


@pytest.mark.parametrize("alpha", [1.0, 1e-6])
def test_ratio_of_active_is_that_of_models_without_the_fold(active, alpha):
    """Neither its data nor its active points, the kernel divided by alpha."""
    x, m, y, owner, noise, problem, values, maps = active
    ratios = []
    for fold in range(N_FOLDS):
        rest, kept = np.arange(45) % 3 != fold, m[owner != fold]
        k_mm, k_nm, k_new = (gaussian(a, kept) / alpha for a in (kept, x[rest], x[~rest]))
        a = k_mm + k_nm.T @ k_nm / noise
        error = y[~rest] - k_new @ np.linalg.solve(a, k_nm.T @ y[rest] / noise)
        known = k_new @ (np.linalg.inv(k_mm) - np.linalg.inv(a)) @ k_new.T
        ratios += list(error**2 / (1 / alpha - known.diagonal() + noise))
    found = ratio_of_active(problem, values, maps, alpha, np.ones(45), noise)
    assert found == pytest.approx(np.mean(ratios), rel=1e-6)


def test_nothing_to_compare_is_a_ratio_of_one(active):
    """One fold alone, or no active point of other folds; a fold of which this is so is passed over."""
    *_, noise, problem, values, maps = active
    assert ratio_of_active(problem, values[:1], maps[:1], 1.0, np.ones(15), noise) == 1.0
    none = [a[:, :0] for a in maps]
    assert ratio_of_active(problem, values, none, 1.0, np.ones(45), noise) == 1.0
    some = ratio_of_active(problem, values, [none[0], *maps[1:]], 1.0, np.append(np.zeros(15), np.ones(30)), noise)
    every = [
        ratio_of_active(
            problem, values, [a if f == k else none[f] for f, a in enumerate(maps)], 1.0, np.ones(45), noise
        )
        for k in (1, 2)
    ]
    assert some == pytest.approx(np.mean(every), rel=1e-12)
