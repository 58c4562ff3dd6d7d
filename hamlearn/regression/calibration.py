"""How large errors are beside the variances predicted for them, each fold predicted from the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_triangular

from hamlearn.regression.full import RegularisedKernel
from hamlearn.regression.rows import in_other_basis, regularised
from hamlearn.regression.sparse import SparseProblem
from hamlearn.types import FloatArray, IntArray


def ratio_of_data(kernel: RegularisedKernel, y: FloatArray, folds: Sequence[IntArray], n_values: int) -> float:
    """Return the mean ratio of squared errors of values to their variances, in closed form.

    The most likely factor of all variances, were they independent.

    Args:
        kernel: of the data with themselves, regularised.
        y: data [row, 1].
        folds: rows held out together.
        n_values: rows that are values.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), sec. 5.4.2, for whole folds.
    """
    residuals = kernel.residuals(y, folds)[:, 0]
    ratios = [(residuals[f] ** 2 / np.diagonal(kernel.fold_covariance(f)))[f < n_values] for f in folds]
    return float(np.concatenate(ratios).mean())


def ratio_of_active(
    problem: SparseProblem,
    values: Sequence[FloatArray],
    maps: Sequence[FloatArray],
    alpha: float,
    priors: FloatArray,
    noise: float,
) -> float:
    """Return the mean ratio of squared errors of values to their variances, for models with an active set.

    A fold is left out of the active set as well: those of new structures are not in it, and what the basis cannot
    express is most of their variance.

    Args:
        problem: rows of every fold as a part.
        values: rows [A y] of the values of every fold, in the basis of the problem [value, r + 1].
        maps: from the basis of the problem to one without the active samples of a fold, of every fold [r, s].
        alpha: regularisation.
        priors: kernel of every value with itself [value].
        noise: variance of a value.
    """
    ratios, first = [], 0
    for fold, (own, restrict) in enumerate(zip(values, maps, strict=True)):
        prior, first = priors[first : first + len(own)], first + len(own)
        if len(values) < 2 or not restrict.shape[1]:
            continue
        s = restrict.shape[1]
        rest = in_other_basis(problem.factor([fold]), restrict)
        upper = regularised(rest, np.sqrt(alpha) * np.eye(s))[:s]  # [R b], R^T R = X^T X + alpha
        phi = own[:, :-1] @ restrict
        known = solve_triangular(upper[:, :s], phi.T, trans="T", check_finite=False)  # [s, value]
        unseen = np.maximum(prior - (phi**2).sum(axis=1), 0.0) / alpha
        ratios.append((known.T @ upper[:, s] - own[:, -1]) ** 2 / (unseen + (known**2).sum(axis=0) + noise))
    return float(np.concatenate(ratios).mean()) if ratios else 1.0
