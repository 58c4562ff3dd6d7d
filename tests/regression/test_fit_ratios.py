"""Ratios of squared errors to variances, against Gaussian processes made anew for every fold."""

import numpy as np
import pytest

from hamlearn.regression.fit import ratio_of_active, ratio_of_data
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
        problem.add(gaussian(x[fold::3], m), y[fold::3], fold, noise)
        problem.keep(gaussian(x[fold::3], m), y[fold::3], fold)
    return x, m, y, owner, noise, problem


@pytest.mark.parametrize("alpha", [1.0, 1e-6])
def test_ratio_of_active_is_that_of_models_without_the_fold(active, alpha):
    """Neither its data nor its active points, the kernel divided by alpha."""
    x, m, y, owner, noise, problem = active
    ratios = []
    for fold in range(N_FOLDS):
        rest, kept = np.arange(45) % 3 != fold, m[owner != fold]
        k_mm, k_nm, k_new = (gaussian(a, kept) / alpha for a in (kept, x[rest], x[~rest]))
        a = k_mm + k_nm.T @ k_nm / noise
        error = y[~rest] - k_new @ np.linalg.solve(a, k_nm.T @ y[rest] / noise)
        known = k_new @ (np.linalg.inv(k_mm) - np.linalg.inv(a)) @ k_new.T
        ratios += list(error**2 / (1 / alpha - known.diagonal() + noise))
    found = ratio_of_active(problem, owner, alpha, np.ones(45), noise)
    assert found == pytest.approx(np.mean(ratios), rel=1e-6)


def test_nothing_to_compare_is_a_ratio_of_one(active):
    """One fold alone, or all active points in the only fold of data; a fold of which this is so is passed over."""
    x, m, y, _, noise, problem = active
    alone = SparseProblem(gaussian(m, m), 1, 1, "rkhs-qr")
    alone.add(gaussian(x, m), y, 0, noise)
    alone.keep(gaussian(x, m), y, 0)
    assert ratio_of_active(alone, np.ones(9), 1.0, np.ones(45), noise) == 1.0
    assert ratio_of_active(alone, np.zeros(9), 1.0, np.ones(45), noise) == 1.0
    some = ratio_of_active(problem, np.zeros(9), 1.0, np.append(np.full(15, np.nan), np.ones(30)), noise)
    others = []
    for fold in (1, 2):
        out = np.arange(45) % 3 == fold
        a = gaussian(m, m) + gaussian(m, x[~out]) @ gaussian(x[~out], m) / noise
        error = y[out] - gaussian(x[out], m) @ np.linalg.solve(a, gaussian(m, x[~out]) @ y[~out] / noise)
        known = gaussian(x[out], m) @ (np.linalg.inv(gaussian(m, m)) - np.linalg.inv(a)) @ gaussian(m, x[out])
        others += list(error**2 / (1 - known.diagonal() + noise))
    assert some == pytest.approx(np.mean(others), rel=1e-8)
