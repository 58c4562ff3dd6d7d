"""Regression of targets that share their rows: regularisation, weights and error bars by what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import solve_triangular

from hamlearn.regression.alphas import choose_alphas, middle, of_targets
from hamlearn.regression.full import FullProblem, RegularisedKernel
from hamlearn.regression.positive import active_root
from hamlearn.regression.posterior import Posterior, variance_columns, variance_factor
from hamlearn.regression.rows import in_other_basis, regularised
from hamlearn.regression.sparse import SparseProblem
from hamlearn.types import FloatArray, IntArray

RELATIVE_ALPHAS = tuple(10.0**-k for k in range(11, -2, -1))
"""1e-11 to 10, in units of the mean diagonal of the kernel; the largest ones where levels jump between molecules."""

FIRST_TRIED = 6
"""Where the descent on the alphas begins: 1e-5."""

VANISHING = 1e-13
"""Diagonal of a kernel, as a fraction of the largest one its settings allow, that is zero by symmetry but for rounding,
or because the pair is beyond the cut-off."""

NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Fit:
    """Weights of targets that share rows, and what is known of their errors.

    Attributes:
        weights: [column, target].
        posterior: how uncertain predictions are; None if not asked for.
        alphas: relative regularisation of every target [target].
        cv_mse: mean squared error of the rows that were left out [target]; nan if none were.
        held: which rows were left out, ascending, where they are told one by one.
        residuals: data minus prediction of these [row, target].
        covariances: of the rows of every structure left out, for a prior variance of 1, by structure.
    """

    weights: FloatArray
    posterior: Posterior | None
    alphas: FloatArray
    cv_mse: FloatArray
    held: IntArray = field(default_factory=NOTHING.copy)
    residuals: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    covariances: Mapping[int, FloatArray] = field(default_factory=dict)

    @property
    def known(self) -> Posterior:
        """The posterior of a fit that was asked for it."""
        assert self.posterior is not None
        return self.posterior


def reaches(gram: FloatArray, unit: float = 1.0) -> bool:
    """Return whether a kernel, whose settings allow diagonals up to ``unit``, is more than rounding somewhere."""
    return bool(np.trace(gram) >= VANISHING * unit * len(gram))


def fit_kernel(
    problem: FullProblem | SparseProblem,
    y: FloatArray,
    held: IntArray,
    owner: IntArray,
    priors: Mapping[int, FloatArray] | None = None,
    unit: float = 1.0,
    width: int = 1,
    least: float = 0.0,
) -> Fit:
    """Fit (K + alpha) x = y or its sparse form, alpha of every target by the errors of the rows left out.

    With nothing left out x = K^+ y, the limit of alpha -> 0. On a kernel that is zero by symmetry zero is predicted,
    without doubt.

    The prior variance of a target makes squared errors of rows left out as large as predicted; those whose kernel is
    zero do not count. Where no others are left out it is the mean square of the data in units of the kernel.

    Args:
        problem: with all rows; of a sparse one those that are left out were kept.
        y: data [row, target].
        held: which rows are left out, ascending.
        owner: structure of every row.
        priors: kernel of the rows of every structure left out with themselves, by structure; None: no error bars.
        unit: largest diagonal that the settings of the kernel allow.
        width: rows of a sample, 2L + 1.
        least: smallest relative regularisation that is tried.

    Raises:
        SingularKernel: if no regularisation lets the kernel be factorised.

    Turning the rows of samples together with their data turns the weights, and leaves alphas and scales as they are.

    Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eqs. 2.25, 2.26 and section 5.4.2;
    sparse: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 6 and 23.
    """
    gram, n_targets = problem.gram, y.shape[1]
    if not reaches(gram, unit) or not len(held):
        return _without_choice(problem, y, held, owner, None if priors is None else width, reaches(gram, unit))
    scale, owner, reached = float(np.trace(gram)) / len(gram), owner[held], problem.reached(VANISHING * unit)
    counted = reached if reached.any() else ~reached
    tried: dict[float, FloatArray] = {}

    def errors_of(alpha: float) -> FloatArray:
        tried[alpha] = problem.left_out(scale * alpha)
        return (tried[alpha][counted] ** 2).mean(axis=0)

    possible = [alpha for alpha in RELATIVE_ALPHAS if alpha >= least]
    start = max(0, FIRST_TRIED - len(RELATIVE_ALPHAS) + len(possible))
    alphas, errors = choose_alphas(errors_of, n_targets, possible, start)
    residuals = of_targets(tried, alphas)
    covariances, scales = {}, np.zeros(n_targets)
    if priors is not None:
        alpha, columns = scale * middle(alphas), variance_columns(len(gram), width)
        root = active_root(gram[np.ix_(columns, columns)])
        covariances = _covariances(problem, alpha, columns, root, owner, priors)
        expected = sum(float(np.trace(covariance)) for covariance in covariances.values())
        squares = (residuals[reached] ** 2).sum(axis=0)
        scales = squares / expected if expected > 0 else (y**2).mean(axis=0) / scale
    problem.take_in_kept()
    weights = of_targets({alpha: problem.weights(scale * alpha) for alpha in set(alphas)}, alphas)
    posterior = None
    if priors is not None:
        factor = variance_factor(root, problem.rows(columns), alpha)
        posterior = Posterior.of_factor(factor, scales, np.zeros(n_targets))
    return Fit(weights, posterior, np.array(alphas), errors, held, residuals, covariances)


def _covariances(
    problem: FullProblem | SparseProblem,
    alpha: float,
    columns: IntArray,
    root: FloatArray,
    owner: IntArray,
    priors: Mapping[int, FloatArray],
) -> dict[int, FloatArray]:
    """Return the covariance of the rows of every structure left out given the others, from some columns."""
    out = {}
    for rows, own, k, rest in problem.rows_apart(columns):
        fewer = active_root(problem.gram[np.ix_(own, own)]) if 0 < len(own) < len(columns) else root
        known = k @ variance_factor(fewer, rest, alpha) if len(own) else k  # with nothing left, the prior
        for structure in np.unique(owner[rows]).tolist():
            part = known[owner[rows] == structure]
            out[structure] = priors[structure] - part @ part.T
    return out


def _without_choice(
    problem: FullProblem | SparseProblem, y: FloatArray, held: IntArray, owner: IntArray, width: int | None, some: bool
) -> Fit:
    """Return the fit on some kernel without rows left out, or one that is zero, sure of itself if a width is told."""
    n, n_targets, posterior, covariances = len(problem.gram), y.shape[1], None, {}
    errors = (y[held] ** 2).mean(axis=0) if len(held) else np.full(n_targets, np.nan)
    if width is not None and not some:
        posterior = Posterior.of_factor(np.zeros((len(variance_columns(n, width)), 0)), *np.zeros((2, n_targets)))
        structures, sizes = np.unique(owner[held], return_counts=True)
        covariances = {s: np.zeros((k, k)) for s, k in zip(structures.tolist(), sizes.tolist(), strict=True)}
    weights = problem.weights(0.0) if some else np.zeros((n, n_targets))
    return Fit(weights, posterior, np.full(n_targets, RELATIVE_ALPHAS[0]), errors, held, y[held], covariances)


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
    problem: SparseProblem, of_basis: IntArray, alpha: float, priors: FloatArray, noise: float
) -> float:
    """Return the mean ratio of squared errors of values to their variances, for models with an active set.

    A fold is left out of the active set as well: those of new structures are not in it, and what the basis cannot
    express is most of their variance. One fold alone, or one that holds all of the active set, is passed over.

    Args:
        problem: rows of every fold as a part, in the basis where the kernel is 1; those of values are kept.
        of_basis: the fold of every sample of the active set [m].
        alpha: regularisation.
        priors: kernel of every value with itself, fold by fold [value].
        noise: variance of a value.
    """
    ratios, first, r = [], 0, problem.rank
    for fold in range(len(problem.parts)):
        own, kept = problem.kept(fold), of_basis != fold
        prior, first = priors[first : first + len(own)], first + len(own)
        if len(problem.parts) < 2 or not kept.any():
            continue
        root = active_root(problem.gram[np.ix_(kept, kept)])
        fewer = problem.kernels(np.eye(r), np.flatnonzero(kept)) @ root  # from the basis of the problem to one without
        s = fewer.shape[1]
        upper = regularised(in_other_basis(problem.factor([fold]), fewer), np.sqrt(alpha) * np.eye(s))[:s]
        phi = own[:, :r] @ fewer  # upper: [R b], R^T R = X^T X + alpha
        known = solve_triangular(upper[:, :s], phi.T, trans="T", check_finite=False)  # [s, value]
        unseen = np.maximum(prior - (phi**2).sum(axis=1), 0.0) / alpha
        ratios.append((known.T @ upper[:, s] - own[:, r]) ** 2 / (unseen + (known**2).sum(axis=0) + noise))
    return float(np.concatenate(ratios).mean()) if ratios else 1.0
