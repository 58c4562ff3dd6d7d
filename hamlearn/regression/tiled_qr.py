"""Least squares in bounded memory: triangular factors of [X Y], one tile at a time.

A factor F with F^T F = [X Y]^T [X Y] holds all that ridge regression needs, ||X W - Y||^2 = ||F [W; -1]||^2, without
squaring the condition number as X^T X would.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def factor(x: Tensor, y: Tensor) -> Tensor:
    """Return a factor of [x y] with at most q + t rows [k, q + t].

    Args:
        x: features [row, q].
        y: targets [row, t].
    """
    return _shrink(torch.cat([x, y], dim=1))


def merge(factors: Iterable[Tensor]) -> Tensor:
    """Return one factor for the rows behind all of them."""
    return _shrink(torch.cat(list(factors), dim=0))


def _shrink(rows: Tensor) -> Tensor:
    return torch.linalg.qr(rows, mode="r").R if len(rows) > rows.shape[1] else rows


def reduce_features(factor: Tensor, basis: Tensor) -> Tensor:
    """Return the factor of [X V, Y] from that of [X, Y].

    Args:
        factor: [k, q + t].
        basis: V, orthonormal columns [q, r].
    """
    q = len(basis)
    return _shrink(torch.cat([factor[:, :q] @ basis, factor[:, q:]], dim=1))


def squared_error(factor: Tensor, weights: Tensor) -> Tensor:
    """Return ||X W - Y||^2 of every column for many weight matrices.

    Args:
        factor: [k, q + t].
        weights: [..., q, t].

    Returns:
        [..., t].
    """
    q = weights.shape[-2]
    return ((factor[:, :q] @ weights - factor[:, q:]) ** 2).sum(dim=-2)
