"""Products of functions on O(3) at the nodes of a quadrature: dense matrix products and pointwise arithmetic (torch).

A function on O(3) is two functions on SO(3): e, the terms that inversion leaves alone, and o, those it turns around;
f(R) = e(R) + o(R) and f(-R) = e(R) - o(R). The parity label costs a second array, not a second grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.rotation_grid import rotation_grid
from hamlearn.kernels.layout import is_even, l_of_component, n_components


@dataclass(frozen=True)
class GridValues:
    """Values of a function at the nodes, each [node, sample]: even part e and odd part o."""

    even: Tensor
    odd: Tensor

    def __mul__(self, other: GridValues) -> GridValues:
        """Return the pointwise product."""
        e, o, e1, o1 = self.even, self.odd, other.even, other.odd
        if other is self:
            return GridValues(e * e + o * o, 2 * e * o)
        return GridValues(e * e1 + o * o1, e * o1 + o * e1)

    def __add__(self, other: GridValues) -> GridValues:
        """Return the pointwise sum."""
        return GridValues(self.even + other.even, self.odd + other.odd)

    def pointwise(self, function: Callable[[Tensor], Tensor]) -> GridValues:
        """Return function(f(R)) of any real function of one variable."""
        proper, improper = function(self.even + self.odd), function(self.even - self.odd)
        return GridValues((proper + improper) / 2, (proper - improper) / 2)


def to_grid(coefficients: Tensor, max_l: int, degree: int) -> GridValues:
    """Return f(R) = sum k^{l sigma}_{mm'} D^{l sigma}_{mm'}(R) at the nodes of a grid exact to ``degree``.

    Args:
        coefficients: [n_sigma, component, sample]; n_sigma = 1 for sigma = +1 only.
        max_l: largest l of the coefficients.
        degree: of the grid, at least twice max_l.
    """
    n_sigma = len(coefficients)
    rows = coefficients.flatten(0, 1)
    even = _rows(max_l, n_sigma, True, coefficients.device)
    odd = _rows(max_l, n_sigma, False, coefficients.device)
    d = _wigner_functions(max_l, degree, coefficients.dtype, coefficients.device)
    n = n_components(max_l)
    return GridValues(d[:, even % n] @ rows[even], d[:, odd % n] @ rows[odd])


def from_grid(values: GridValues, max_l: int, degree: int, plus_only: bool = False) -> Tensor:
    """Return k^{l sigma}_{mm'} = (2l + 1) mean over O(3) of f(R) D^{l sigma}_{mm'}(R) [n_sigma, component, sample].

    Args:
        values: at the nodes of the grid of ``degree``.
        max_l: largest l wanted.
        degree: of the grid; exact if the degree of f plus max_l does not exceed it.
        plus_only: only sigma = +1.
    """
    n_sigma, n = 1 if plus_only else 2, n_components(max_l)
    like = values.even
    d = _projectors(max_l, degree, like.dtype, like.device)
    out = like.new_empty((n_sigma * n, like.shape[1]))
    for part, parity in ((values.even, True), (values.odd, False)):
        rows = _rows(max_l, n_sigma, parity, like.device)
        out = out.index_copy(0, rows, d[rows % n] @ part)
    return out.view(n_sigma, n, -1)


@cache
def _wigner_functions(max_l: int, degree: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.from_numpy(rotation_grid(degree).wigner_functions(max_l)).to(dtype=dtype, device=device)


@cache
def _projectors(max_l: int, degree: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(2l + 1) w_R D^l_{mm'}(R) [component, node]."""
    grid = rotation_grid(degree)
    d = grid.wigner_functions(max_l) * (2 * l_of_component(max_l) + 1) * grid.weights[:, None]
    return torch.from_numpy(np.ascontiguousarray(d.T)).to(dtype=dtype, device=device)


@cache
def _rows(max_l: int, n_sigma: int, even: bool, device: torch.device) -> Tensor:
    """Rows (sigma, component) that are even (or odd) under inversion."""
    return torch.from_numpy(np.flatnonzero(is_even(max_l, n_sigma) == even)).to(device)
