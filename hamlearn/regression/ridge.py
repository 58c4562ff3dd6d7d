"""Symmetry-adapted ridge regression of the blocks that share one set of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hamlearn.regression.ridge_posterior import RidgePosterior, summed_variance
from hamlearn.regression.tiled_qr import merge, reduce_features, squared_error

RELATIVE_ALPHAS = tuple(10.0 ** (-k / 2) for k in range(32, -1, -1))
"""1e-16 to 1, in units of the mean squared norm of a feature row; not centred, so that features which are constant by
symmetry do not leave a scale of rounding noise."""

RELATIVE_RANK = 1e-12
"""Directions whose singular value lies below this fraction of sqrt(rows) are dropped. Features are scaled to order 1
on the whole training set, so that the bound is global: features that vanish by symmetry vanish here too."""


@dataclass(frozen=True)
class GroupFit:
    """Fitted weights of blocks sharing features.

    Attributes:
        weights: [q, block].
        posterior: how uncertain they are.
        alphas: relative regularisation chosen for every block [block].
        cv_mse: cross-validated mean squared error per row at that choice [block]; NaN if nothing could be left out.
    """

    weights: Tensor
    posterior: RidgePosterior
    alphas: Tensor
    cv_mse: Tensor


class BlockRidge:
    """Minimise sum_{i,M} |h_i^M - sum_q w_q x_{iMq}|^2 + alpha |w|^2 for every block, alpha by cross-validation.

    All components M of a row share one weight vector, which makes the fit invariant to rotating any training
    structure and the prediction exactly equivariant.

    The prior variance of the weights makes the mean variance of left-out rows equal to their mean squared error.
    Maximum likelihood would follow rounding: at the tiny alphas of noiseless data the smallest singular values decide.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 23-26.
    """

    def fit(self, folds: Sequence[Tensor], n_rows: Sequence[int], n_features: int) -> GroupFit:
        """Fit from the factors of [X Y] of each fold of structures.

        Args:
            folds: factor of the rows of every fold [k, q + block].
            n_rows: number of rows (i, M) of every fold.
            n_features: q.
        """
        total, rows = merge(folds), max(sum(n_rows), 1)
        n_blocks = total.shape[1] - n_features
        spectrum = _Spectrum.of(total, rows, n_features)
        if not spectrum.basis.shape[1]:
            nan, squares = torch.full((n_blocks,), torch.nan, dtype=torch.float64), total[:, n_features:] ** 2
            return GroupFit(*spectrum.solve(torch.ones_like(nan), squares.sum(dim=0) / rows), nan, nan.clone())
        alphas = torch.tensor(RELATIVE_ALPHAS, dtype=torch.float64)
        absolute = alphas * float((total[:, :n_features] ** 2).sum()) / rows
        reduced = [reduce_features(fold, spectrum.basis) for fold, n in zip(folds, n_rows, strict=True) if n]
        errors, variances = _cross_validate(reduced, spectrum.basis.shape[1], absolute)  # [alpha, block], [alpha]
        best = errors.argmin(dim=0)  # the smallest alpha where nothing can be left out
        least = errors[best, torch.arange(n_blocks)]
        weights, posterior = spectrum.solve(absolute[best], least / (variances + rows * absolute)[best])
        if len(reduced) < 2:  # the mean square of the weights is what maximum likelihood gives without noise
            seen = (weights**2).sum(dim=0) / spectrum.basis.shape[1]
            posterior = replace(posterior, scales=seen)
        return GroupFit(weights, posterior, alphas[best], least / rows)


def refit(factor: Tensor, n_rows: int, known: RidgePosterior) -> tuple[Tensor, RidgePosterior]:
    """Return the weights and their posterior for other rows, with the alphas and prior variances of a fit.

    Args:
        factor: of [X Y] [k, q + block].
        n_rows: number of rows (i, M) behind it.
        known: posterior of the fit.
    """
    return _Spectrum.of(factor, max(n_rows, 1), len(known.basis)).solve(known.alphas, known.scales)


@dataclass(frozen=True)
class _Spectrum:
    """X = U S V^T without directions that are rounding.

    Attributes:
        basis: V [q, r].
        singular_values: S [r].
        projected: U^T Y [r, block].
    """

    basis: Tensor
    singular_values: Tensor
    projected: Tensor

    @classmethod
    def of(cls, factor: Tensor, n_rows: int, n_features: int) -> _Spectrum:
        u, s, vt = torch.linalg.svd(factor[:, :n_features], full_matrices=False)
        kept = s > RELATIVE_RANK * n_rows**0.5
        return cls(vt[kept].T.contiguous(), s[kept], (u.T @ factor[:, n_features:])[kept])

    def solve(self, alphas: Tensor, scales: Tensor) -> tuple[Tensor, RidgePosterior]:
        """Return V S / (S^2 + alpha) U^T Y [q, block] and its posterior, for alpha and prior variance of each block."""
        s = self.singular_values[:, None]
        weights = self.basis @ (s / (s**2 + alphas) * self.projected)
        return weights, RidgePosterior(self.basis, self.singular_values, alphas, scales)


def _cross_validate(folds: list[Tensor], n_features: int, alphas: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared error [alpha, block] and variance per prior variance [alpha], summed over held-out rows.

    Both are NaN with fewer than two folds.
    """
    if len(folds) < 2:
        nan = torch.full((len(alphas), folds[0].shape[1] - n_features), torch.nan, dtype=torch.float64)
        return nan, nan[:, 0]
    errors, variances = torch.zeros((2, 1), dtype=torch.float64)
    for held_out, fold in enumerate(folds):
        rest = merge(f for k, f in enumerate(folds) if k != held_out)
        u, s, vt = torch.linalg.svd(rest[:, :n_features], full_matrices=False)
        errors = errors + squared_error(fold, vt.T @ _damped(s, u.T @ rest[:, n_features:], alphas))
        variances = variances + summed_variance(fold[:, :n_features], vt.T, s, alphas)
    return errors, variances


def _damped(s: Tensor, projected: Tensor, alphas: Tensor) -> Tensor:
    """Return s / (s^2 + alpha) U^T Y for every alpha: ridge weights in the basis V of X = U s V^T [alpha, r, block].

    Args:
        s: singular values [r].
        projected: U^T Y [r, block].
        alphas: [alpha].
    """
    return (s / (s**2 + alphas[:, None]))[:, :, None] * projected
