"""Symmetry-adapted ridge regression of the blocks that share one set of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hamlearn.models.tiled_qr import merge, reduce_features, squared_error

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
        alphas: relative regularisation chosen for every block [block].
        cv_mse: cross-validated mean squared error per row at that choice [block]; NaN if nothing could be left out.
    """

    weights: Tensor
    alphas: Tensor
    cv_mse: Tensor


class BlockRidge:
    """Minimise sum_{i,M} |h_i^M - sum_q w_q x_{iMq}|^2 + alpha |w|^2 for every block, alpha by cross-validation.

    All components M of a row share one weight vector, which makes the fit invariant to rotating any training
    structure and the prediction exactly equivariant.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eqs. 23-26.
    """

    def fit(self, folds: Sequence[Tensor], n_rows: Sequence[int], n_features: int) -> GroupFit:
        """Fit from the factors of [X Y] of each fold of structures.

        Args:
            folds: factor of the rows of every fold [k, q + block].
            n_rows: number of rows (i, M) of every fold.
            n_features: q.
        """
        total = merge(folds)
        n_blocks = total.shape[1] - n_features
        rows = max(sum(n_rows), 1)
        x = total[:, :n_features]
        alphas = torch.tensor(RELATIVE_ALPHAS, dtype=torch.float64)
        absolute = alphas * float((x**2).sum()) / rows
        u, s, vt = torch.linalg.svd(x, full_matrices=False)
        kept = s > RELATIVE_RANK * rows**0.5
        basis = vt[kept].T.contiguous()  # [q, r]
        if not basis.shape[1]:
            return _no_features(n_features, n_blocks)
        reduced = [reduce_features(fold, basis) for fold, n in zip(folds, n_rows, strict=True) if n]
        errors = _cross_validate(reduced, len(s[kept]), absolute) / rows  # [alpha, block]
        best = errors.argmin(dim=0)  # the smallest alpha where nothing can be left out
        block = torch.arange(n_blocks)
        path = _damped(s[kept], (u.T @ total[:, n_features:])[kept], absolute)  # [alpha, r, block]
        return GroupFit(basis @ path[best, :, block].T, alphas[best], errors[best, block])


def _cross_validate(folds: list[Tensor], n_features: int, alphas: Tensor) -> Tensor:
    """Return the summed squared error over held-out folds [alpha, block]; NaN with fewer than two folds."""
    if len(folds) < 2:
        return torch.full((len(alphas), folds[0].shape[1] - n_features), torch.nan, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for held_out, fold in enumerate(folds):
        rest = merge(f for k, f in enumerate(folds) if k != held_out)
        u, s, vt = torch.linalg.svd(rest[:, :n_features], full_matrices=False)
        total = total + squared_error(fold, vt.T @ _damped(s, u.T @ rest[:, n_features:], alphas))
    return total


def _damped(s: Tensor, projected: Tensor, alphas: Tensor) -> Tensor:
    """Return s / (s^2 + alpha) U^T Y for every alpha: ridge weights in the basis V of X = U s V^T [alpha, r, block].

    Args:
        s: singular values [r].
        projected: U^T Y [r, block].
        alphas: [alpha].
    """
    return (s / (s**2 + alphas[:, None]))[:, :, None] * projected


def _no_features(n_features: int, n_blocks: int) -> GroupFit:
    nan = torch.full((n_blocks,), torch.nan, dtype=torch.float64)
    return GroupFit(torch.zeros((n_features, n_blocks), dtype=torch.float64), nan, nan.clone())
