"""Products of functions on O(3) at the nodes of a quadrature: dense matrix products and pointwise arithmetic (torch).

Inversion and the half turns about z from the left and from the right multiply every term k D^l_{mm'} by a sign. Each
function is therefore a sum of eight, one per pattern of signs, of which an eighth of the nodes tells everything: they
are evaluated there, and an 8 x 8 matrix of signs makes the values at all nodes from them. That divides the arithmetic
by four to eight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hamlearn.angular.rotation_grid import rotation_grid
from hamlearn.o3.layout import l_of_component, n_components, sign_pattern
from hamlearn.types import FloatArray, IntArray

SAMPLES_PER_TILE = 256
ELEMENTS = 8  # of the group of inversion and the two half turns


def to_grid(coefficients: Tensor, max_l: int, degree: int) -> Tensor:
    """Return f(R) = sum k^{l sigma}_{mm'} D^{l sigma}_{mm'}(R) at the nodes of a grid [group element, node, sample].

    Args:
        coefficients: [n_sigma, component, sample]; n_sigma = 1 for sigma = +1 only.
        max_l: largest l of the coefficients.
        degree: to which the grid is exact, at least twice max_l.
    """
    rows = coefficients.flatten(0, 1)
    maps = _evaluators(max_l, degree, len(coefficients), rows.dtype, rows.device)
    by_pattern = torch.stack([d @ rows[chosen] for chosen, d in maps])  # [pattern, node, sample]
    return _signed_sums(by_pattern)


def from_grid(values: Tensor, max_l: int, degree: int, plus_only: bool = False) -> Tensor:
    """Return k^{l sigma}_{mm'} = (2l + 1) mean over O(3) of f(R) D^{l sigma}_{mm'}(R) [n_sigma, component, sample].

    Args:
        values: at the nodes of the grid of ``degree``.
        max_l: largest l wanted.
        degree: of the grid; exact if the degree of f plus max_l does not exceed it.
        plus_only: only sigma = +1.
    """
    n_sigma = 1 if plus_only else 2
    by_pattern = _signed_sums(values)
    out = by_pattern.new_empty((n_sigma * n_components(max_l), by_pattern.shape[2]))
    maps = _projectors(max_l, degree, n_sigma, out.dtype, out.device)
    for part, (rows, d) in zip(by_pattern, maps, strict=True):
        out = out.index_copy(0, rows, d @ part) if part.requires_grad else out.index_copy_(0, rows, d @ part)
    return out.view(n_sigma, n_components(max_l), out.shape[1])


def pointwise(
    a: Tensor, functions: Sequence[Callable[[Tensor], Tensor]], max_l: tuple[int, int], degree: int
) -> list[Tensor]:
    """Return the coefficients of function(f(R)) for several functions of one variable, in tiles.

    Args:
        a: coefficients of f [n_sigma, component, sample].
        functions: each takes and returns values of any shape.
        max_l: of f and of the results.
        degree: of the grid.
    """

    def of(f: Tensor, _: Tensor) -> list[Tensor]:
        values = to_grid(f, max_l[0], degree)
        return [from_grid(function(values), max_l[1], degree) for function in functions]

    return _in_tiles(of, a, a)


def multiply(a: Tensor, b: Tensor, max_l: tuple[int, int, int], plus_only: bool = False) -> Tensor:
    """Return the coefficients of a product [n_sigma, component, sample], in tiles that stay in the cache.

    Args:
        a: coefficients [n_sigma, component, sample].
        b: coefficients of the same samples; the same tensor for a square.
        max_l: of a, of b and of the result.
        plus_only: only sigma = +1.
    """
    degree = sum(max_l)

    def of(f: Tensor, g: Tensor) -> list[Tensor]:
        left = to_grid(f, max_l[0], degree)
        right = left if g is f else to_grid(g, max_l[1], degree)
        return [from_grid(left * right, max_l[2], degree, plus_only)]

    return _in_tiles(of, a, b)[0]


def powers(a: Tensor, max_nu: int, max_l: int) -> list[Tensor]:
    """Return f^2 ... f^max_nu [2, component, sample], each product cut to l <= max_l; f is evaluated once.

    Args:
        a: coefficients of f [n_sigma, component, sample].
        max_nu: largest power.
        max_l: of f and of the results.
    """

    def of(f: Tensor, _: Tensor) -> list[Tensor]:
        values = to_grid(f, max_l, 3 * max_l)
        out = [from_grid(values * values, max_l, 3 * max_l)]
        while len(out) < max_nu - 1:
            out.append(from_grid(to_grid(out[-1], max_l, 3 * max_l) * values, max_l, 3 * max_l))
        return out

    return _in_tiles(of, a, a)


def _in_tiles(work: Callable[[Tensor, Tensor], list[Tensor]], a: Tensor, b: Tensor) -> list[Tensor]:
    """Do work on samples of a and b, the same tensor if they are, whose grid values stay in the cache."""
    n = max(a.shape[2], 1)
    # without a cache to care for, or with derivatives to record, all at once
    size = n if a.is_cuda or a.requires_grad or b.requires_grad else SAMPLES_PER_TILE
    tiles = []
    for start in range(0, n, size):
        left = a[..., start : start + size]
        tiles.append(work(left, left if b is a else b[..., start : start + size]))
    return tiles[0] if len(tiles) == 1 else [torch.cat(parts, dim=2) for parts in zip(*tiles, strict=True)]


def _signed_sums(x: Tensor) -> Tensor:
    """Return sum_s (+-1) x[s] for every group element, or the other way round [8, node, sample]."""
    return (signs(x.dtype, x.device) @ x.flatten(1)).view_as(x)


@cache
def signs(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Sign with which group element g multiplies pattern s: -1 to the number of bits they share [g, s]."""
    shared = np.arange(ELEMENTS)[:, None] & np.arange(ELEMENTS)
    bits = sum((shared >> k) & 1 for k in range(3))
    return torch.from_numpy((-1.0) ** bits).to(dtype=dtype, device=device)


@cache
def _evaluators(
    max_l: int, degree: int, n_sigma: int, dtype: torch.dtype, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """For every sign pattern its rows (sigma, component) and their D^l_{mm'}(R) [node, row]."""
    d, _ = eighth_of_nodes(max_l, degree)
    rows = rows_of_patterns(max_l, n_sigma)
    n = n_components(max_l)
    return [(_to(chosen, device), _to(d[:, chosen % n], device, dtype)) for chosen in rows]


@cache
def _projectors(
    max_l: int, degree: int, n_sigma: int, dtype: torch.dtype, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    """For every sign pattern its rows (sigma, component) and (2l + 1) w_R D^l_{mm'}(R) [row, node]."""
    d, weights = eighth_of_nodes(max_l, degree)
    d = d * (2 * l_of_component(max_l) + 1) * weights[:, None]
    rows = rows_of_patterns(max_l, n_sigma)
    n = n_components(max_l)
    return [(_to(chosen, device), _to(d[:, chosen % n].T, device, dtype)) for chosen in rows]


def eighth_of_nodes(max_l: int, degree: int) -> tuple[FloatArray, FloatArray]:
    """Return D^l_{mm'} [node, component] and weights at the nodes with alpha and gamma below pi."""
    grid = rotation_grid(degree | 1)  # an odd degree has an even number of angles, half of them below pi
    half, n_beta = len(grid.alpha) // 2, len(grid.beta)
    shape = (2 * half, n_beta, 2 * half)
    d = grid.wigner_functions(max_l).reshape(*shape, -1)[:half, :, :half]
    weights = grid.weights.reshape(shape)[:half, :, :half]
    return d.reshape(half * n_beta * half, -1), weights.ravel() / 2  # the other half: improper ones


def rows_of_patterns(max_l: int, n_sigma: int) -> list[IntArray]:
    """Return the rows (sigma, component) of every sign pattern."""
    pattern = sign_pattern(max_l, n_sigma)
    return [np.flatnonzero(pattern == s) for s in range(ELEMENTS)]


def _to(x: NDArray[np.generic], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x)).to(device=device, dtype=dtype)
