"""Integrals over O(3) of products of kernels of bonds and environments: compiled, or with torch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hamlearn.o3.compiled import load_function
from hamlearn.o3.nodes import NodeGrid
from hamlearn.types import FloatArray, IntArray, Irrep

Mixtures = tuple[Sequence[float], Sequence[float] | None]
TERMS_PER_TILE = 128  # without the compiled loop: what stays in the cache


@dataclass(frozen=True, eq=False)
class Terms:
    """What t(R) P(f_a(R) + f_b(R)) is made of, for many pairs of bonds.

    Attributes:
        index: rows of f_a, of f_b, of the left and of the right direction [term, 4].
        bonds: t as a polynomial of the cosine between left and rotated right direction [term, power].
    """

    index: IntArray
    bonds: FloatArray


def integrate(
    grid: NodeGrid,
    terms: Terms,
    functions: Tensor,
    left: FloatArray,
    right: FloatArray,
    mixtures: Mixtures,
    irreps: tuple[Irrep, ...],
) -> list[FloatArray]:
    """Return the coefficients k^{L sigma}_{MM'} of t(R) P(f_a(R) + f_b(R)), an array [term, 2L+1, 2L+1] for each irrep.

    Args:
        grid: exact up to the degree of the integrand.
        terms: what to multiply.
        functions: f at the nodes [function, 2, node], from :meth:`NodeGrid.evaluate`.
        left: directions of the left bonds, order y, z, x [vector, 3].
        right: rotated directions of the right bonds [vector, 3, node], from :meth:`NodeGrid.rotated`.
        mixtures: coefficients of P from order 0, and None; or those of P and Q in t(R) P(f_a(R)) Q(f_b(R)).
        irreps: the (L, sigma) wanted.
    """
    weights, n_even, order = grid.projectors(irreps)
    index = np.ascontiguousarray(terms.index)
    run = _by_torch if not is_compiled() or mixtures[1] is not None else _by_loop
    sums = run(Terms(index, np.ascontiguousarray(terms.bonds)), functions, left, right, mixtures, weights, n_even)
    return _by_irrep(sums, order, irreps)


def project(grid: NodeGrid, values: Tensor, irreps: tuple[Irrep, ...]) -> list[FloatArray]:
    """Return the coefficients of functions given at the nodes [function, 2, node], as :func:`integrate` does."""
    weights, n_even, order = grid.projectors(irreps)
    return _by_irrep(_weighted_sums(values, torch.from_numpy(weights), n_even).numpy(), order, irreps)


def _by_irrep(sums: FloatArray, order: IntArray, irreps: tuple[Irrep, ...]) -> list[FloatArray]:
    """Return the coefficients of every irrep [term, 2L+1, 2L+1] from those in the order of the projectors."""
    out = np.empty_like(sums)
    out[:, order] = sums
    ends = np.cumsum([0, *((2 * L + 1) ** 2 for L, _ in irreps)])
    shape = [(len(out), 2 * L + 1, 2 * L + 1) for L, _ in irreps]
    return [out[:, a:b].reshape(s) for a, b, s in zip(ends[:-1], ends[1:], shape, strict=True)]


@cache
def _loop() -> Callable[..., Any] | None:
    """Return the compiled loop, None where it was not built."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    argtypes = [number] * 2 + [pointer] * 5 + [number, pointer, number, pointer] + [number] * 3 + [pointer] * 2
    return load_function("_integrals", "hamlearn_integrals", argtypes)


def is_compiled() -> bool:
    """Return whether the compiled loop is there."""
    return _loop() is not None


def _by_loop(
    terms: Terms,
    functions: Tensor,
    left: FloatArray,
    right: FloatArray,
    mixtures: Mixtures,
    weights: FloatArray,
    n_even: int,
) -> FloatArray:
    loop, n = _loop(), len(terms.index)
    assert loop is not None
    values, mixture = functions.contiguous().numpy(), np.array(mixtures[0], dtype=np.float64)
    out = np.zeros((n, len(weights)))
    work = np.empty(4 * len(weights) + 8)
    aligned = work[(-work.ctypes.data % 64) // 8 :]
    left, right = (np.ascontiguousarray(x, dtype=np.float64) for x in (left, right))
    arrays = (terms.index, values, left, right, terms.bonds)
    loop(
        0, n, *(x.ctypes.data for x in arrays), terms.bonds.shape[1], mixture.ctypes.data, len(mixture),
        weights.ctypes.data, n_even, len(weights) - n_even, weights.shape[1], out.ctypes.data, aligned.ctypes.data,
    )  # fmt: skip
    return out


def _by_torch(
    terms: Terms,
    functions: Tensor,
    left: FloatArray,
    right: FloatArray,
    mixtures: Mixtures,
    weights: FloatArray,
    n_even: int,
) -> FloatArray:
    u, v, w, bonds = (torch.from_numpy(x) for x in (left, right, weights, terms.bonds))
    out = np.empty((len(terms.index), len(weights)))
    for start in range(0, len(out), TERMS_PER_TILE):
        rows = slice(start, start + TERMS_PER_TILE)
        a, b, i, j = torch.from_numpy(terms.index[rows]).T
        mixed = _mixed(functions[a], functions[b], mixtures)  # [term, 2, node]
        cosine = torch.einsum("tx,txn->tn", u[i], v[j])
        tags = polynomial(torch.stack([cosine, -cosine], dim=1), bonds[rows].T[:, :, None, None])
        out[rows] = _weighted_sums(mixed * tags, w, n_even).numpy()
    return out


def _weighted_sums(values: Tensor, weights: Tensor, n_even: int) -> Tensor:
    """Return the sums over nodes [function, coefficient], those even under inversion first."""
    even, odd = values[:, 0] + values[:, 1], values[:, 0] - values[:, 1]
    return torch.cat([even @ weights[:n_even].T, odd @ weights[n_even:].T], dim=1)


def _mixed(f_a: Tensor, f_b: Tensor, mixtures: Mixtures) -> Tensor:
    first, second = mixtures
    return polynomial(f_a + f_b, first) if second is None else polynomial(f_a, first) * polynomial(f_b, second)


def polynomial(x: Tensor, coefficients: Sequence[float] | Tensor) -> Tensor:
    """Return sum_n c_n x^n; coefficients are numbers, or tensors that broadcast against x."""
    out = torch.zeros_like(x)
    for c in reversed(list(coefficients)):
        out = out * x + c
    return out
