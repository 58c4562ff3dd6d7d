"""Ridge regression for many regularisations at once: by the singular values of the rows of every part left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hamlearn.errors import ConfigError
from hamlearn.regression.fit import Fit
from hamlearn.regression.posterior import Posterior, damping
from hamlearn.regression.rows import in_other_basis, merged, squared_error
from hamlearn.regression.sparse import SparseProblem
from hamlearn.ties import first_of_best
from hamlearn.types import FloatArray

RELATIVE_ALPHAS = 10.0 ** (-np.arange(32, -1, -1) / 2)
"""1e-16 to 1, in units of the mean squared norm of a row; not centred, so that features which are constant by
symmetry do not leave a scale of rounding noise."""

RELATIVE_RANK = 1e-12
"""Directions whose singular value lies below this fraction of sqrt(rows) are dropped. Features are scaled to order 1
on the whole training set, so that the bound is global: features that vanish by symmetry vanish here too."""


def fit_ridge(problem: SparseProblem, n_folds: int) -> Fit:
    """Minimise |A w - y|^2 + alpha |w|^2 for every target, alpha by cross-validation over folds of the parts.

    Fold k consists of the parts k, k + n_folds, ... All components M of a sample share one weight vector, which makes
    the fit invariant to rotating any training structure and the prediction exactly equivariant.

    The prior variance of the weights makes the mean variance of left-out rows equal to their mean squared error.
    Maximum likelihood would follow rounding: at the tiny alphas of noiseless data the smallest singular values decide.

    Args:
        problem: with all rows, and K = 1 in the basis of its rows (features, or a solver rkhs-qr).
        n_folds: number of folds.

    Raises:
        ConfigError: for a problem with another K.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 23-26.
    """
    if not problem.is_ridge:
        raise ConfigError("the regulariser is not the square of the weights; make the problem with solver 'rkhs-qr'")
    r = problem.rank
    folds = [merged(p.factor for p in problem.parts[k::n_folds]) for k in range(min(n_folds, len(problem.parts)))]
    folds = [fold for fold in folds if len(fold)]
    total, rows = problem.factor(), max(problem.n_rows(), 1)
    spectrum = Spectrum.of(problem)
    n_targets = total.shape[1] - r
    if not spectrum.basis.shape[1]:
        nothing, squares = np.full(n_targets, np.nan), (total[:, r:] ** 2).sum(axis=0) / rows
        return Fit(*spectrum.solve(np.ones(n_targets), squares), nothing, nothing.copy())
    absolute = RELATIVE_ALPHAS * float((total[:, :r] ** 2).sum()) / rows
    rank = spectrum.basis.shape[1]
    if rank < r:  # what was dropped as rounding must not be fitted within folds either
        folds = [in_other_basis(fold, spectrum.basis) for fold in folds]
    errors, variances = _cross_validated(folds, rank, absolute)  # [alpha, target], [alpha]
    best = first_of_best(-errors)  # the smallest alpha where nothing can be left out
    least = errors[best, np.arange(n_targets)]
    weights, posterior = spectrum.solve(absolute[best], least / (variances + rows * absolute)[best])
    if len(folds) < 2:  # the mean square of the weights is what maximum likelihood gives without noise
        posterior = replace(posterior, scales=(weights**2).sum(axis=0) / rank)
    return Fit(weights, posterior, RELATIVE_ALPHAS[best], least / rows)


@dataclass(frozen=True)
class Spectrum:
    """A = U S V^T without directions that are rounding.

    Attributes:
        basis: V [q, r].
        singular_values: S [r].
        projected: U^T y [r, target].
    """

    basis: FloatArray
    singular_values: FloatArray
    projected: FloatArray

    @classmethod
    def of(cls, problem: SparseProblem, without: Sequence[int] = ()) -> Spectrum:
        """Return the spectrum of the rows of all parts but some, in the basis where K = 1."""
        factor, r = problem.factor(without), problem.rank
        u, s, vt = np.linalg.svd(factor[:, :r], full_matrices=False)
        kept = s > RELATIVE_RANK * max(problem.n_rows(without), 1) ** 0.5
        return cls(np.ascontiguousarray(vt[kept].T), s[kept], (u.T @ factor[:, r:])[kept])

    def solve(self, alphas: FloatArray, scales: FloatArray) -> tuple[FloatArray, Posterior]:
        """Return V S / (S^2 + alpha) U^T y [q, target] and its posterior, for an alpha and prior variance of each."""
        s = self.singular_values[:, None]
        weights = self.basis @ (s / (s**2 + alphas) * self.projected)
        return weights, Posterior(self.basis, self.singular_values**2, alphas, scales)


def _cross_validated(folds: list[FloatArray], n_columns: int, alphas: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return squared error [alpha, target] and variance per prior variance [alpha], summed over held-out rows.

    Both are NaN with fewer than two folds.
    """
    if len(folds) < 2:
        return np.full((len(alphas), folds[0].shape[1] - n_columns), np.nan), np.full(len(alphas), np.nan)
    errors, variances = np.zeros((len(alphas), folds[0].shape[1] - n_columns)), np.zeros(len(alphas))
    for held_out, fold in enumerate(folds):
        rest = merged(f for k, f in enumerate(folds) if k != held_out)
        u, s, vt = np.linalg.svd(rest[:, :n_columns], full_matrices=False)
        damped = (s / (s**2 + alphas[:, None]))[:, :, None] * (u.T @ rest[:, n_columns:])
        inside = fold[:, :n_columns] @ vt.T
        errors += squared_error(np.hstack([inside, fold[:, n_columns:]]), damped)
        variances += damping(s**2, alphas) @ (inside**2).sum(axis=0)
        if len(s) < n_columns:  # directions that the rest never saw keep their prior variance
            variances += ((fold[:, :n_columns] - inside @ vt) ** 2).sum()
    return errors, variances
