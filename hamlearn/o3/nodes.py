"""Functions on O(3) at the nodes of a quadrature grid, laid out for products of kernels of several atoms.

Values [function, 2, node] are at half of the nodes, then at their products with the inversion. Half of the nodes times
the four elements made of half turns about z from the left and from the right are all rotations of the grid.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hamlearn.o3.compiled import load_function
from hamlearn.o3.grid import ELEMENTS, eighth_of_nodes, rows_of_patterns, signs
from hamlearn.o3.layout import component_slice, n_components
from hamlearn.types import FloatArray, IntArray, Irrep

PADDED_TO = 8  # an odd multiple of it: what the compiled loop takes at once, and no power of two, which caches abhor
TURNS = (0, 2, 4, 6)
"""Group elements without inversion: bit 1 the half turn from the left, bit 2 the one from the right."""


@dataclass(frozen=True, eq=False)
class NodeGrid:
    """Nodes on O(3) that integrate polynomials of Wigner functions of total degree up to ``degree`` exactly.

    Args:
        max_l: largest l of functions given by coefficients.
        degree: of the integrand, projection included.
    """

    max_l: int
    degree: int

    @property
    def n_nodes(self) -> int:
        """Number of rotations, with those added to fill up; their weight is zero."""
        return len(TURNS) * len(_eighth(1, self.degree)[1])

    def evaluate(self, coefficients: Tensor) -> Tensor:
        """Return f(R) = sum k^l_{mm'} D^l_{mm'}(R), and a last function that is zero [sample + 1, 2, node].

        Args:
            coefficients: of sigma = +1 [component, sample].
        """
        n, n_eighth = coefficients.shape[1], self.n_nodes // len(TURNS)
        parts = coefficients.new_empty((ELEMENTS, n, n_eighth))
        for part, (rows, d) in zip(parts, _evaluators(self.max_l, self.degree), strict=True):
            torch.mm(coefficients[rows].T, d, out=part)
        out = coefficients.new_empty((n + 1, 2, self.n_nodes))
        out[n] = 0.0
        unfold = _unfold()
        if unfold is None:
            both = (_element_signs() @ parts.flatten(1)).view(2, len(TURNS), n, -1)
            out[:n] = both.permute(2, 0, 1, 3).flatten(2)
        else:
            unfold(n, n_eighth, parts.data_ptr(), out.data_ptr())
        return out

    def rotated(self, directions: FloatArray) -> FloatArray:
        """Return R r at all rotations [vector, 3, node], components in the order y, z, x of m = -1, 0, 1.

        Args:
            directions: r in that order [vector, 3].
        """
        return (directions @ _rotations(self.degree)).reshape(len(directions), 3, -1)

    def projectors(self, irreps: tuple[Irrep, ...]) -> tuple[FloatArray, int, IntArray]:
        """Return w with k^{L sigma}_{MM'} = sum of w f over nodes: those even under inversion first, then odd ones.

        Returns:
            Weights [coefficient, node], the number of even ones, and where in (irrep, M, M') each belongs.
        """
        return _projectors(self.degree, irreps)


@cache
def _eighth(max_l: int, degree: int) -> tuple[FloatArray, FloatArray]:
    """Return D^l_{mm'} [node, component] and weights of an eighth of the nodes, filled up with repeated ones."""
    d, weights = eighth_of_nodes(max_l, degree)
    extra = (PADDED_TO - len(weights)) % (2 * PADDED_TO)
    return np.concatenate([d, d[:1].repeat(extra, axis=0)]), np.pad(weights, (0, extra))


@cache
def _rotations(degree: int) -> FloatArray:
    """Return R_xy at all rotations, order y, z, x [column y, (row x, turn, eighth)]."""
    d = _eighth(1, degree)[0][:, component_slice(1)].reshape(-1, 3, 3)
    turn = np.array([-1.0, 1.0, -1.0])  # the half turn about z
    left = np.stack([turn if g & 2 else np.ones(3) for g in TURNS])
    right = np.stack([turn if g & 4 else np.ones(3) for g in TURNS])
    return np.ascontiguousarray(np.einsum("nij,gi,gj->jign", d, left, right).reshape(3, -1))


@cache
def _evaluators(max_l: int, degree: int) -> list[tuple[Tensor, Tensor]]:
    d = _eighth(max_l, degree)[0]
    rows = rows_of_patterns(max_l, 1)
    return [(torch.from_numpy(r), torch.from_numpy(np.ascontiguousarray(d[:, r].T))) for r in rows]


@cache
def _unfold() -> Callable[..., Any] | None:
    """Return the compiled sum over sign patterns, None where it was not built."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    return load_function("_integrals", "hamlearn_unfold", [number, number, pointer, pointer])


@cache
def _element_signs() -> Tensor:
    """Signs [group element, pattern], elements without inversion first."""
    order = [g + inversion for inversion in (0, 1) for g in TURNS]
    return signs(torch.float64, torch.device("cpu"))[order].contiguous()


@cache
def _projectors(degree: int, irreps: tuple[Irrep, ...]) -> tuple[FloatArray, int, IntArray]:
    max_l = max(L for L, _ in irreps)
    d, weights = _eighth(max(max_l, 1), degree)
    all_signs = signs(torch.float64, torch.device("cpu")).numpy()
    patterns = rows_of_patterns(max(max_l, 1), 2)
    pattern = np.empty(2 * n_components(max(max_l, 1)), dtype=np.int64)
    for s in range(ELEMENTS):
        pattern[patterns[s]] = s
    rows, even = [], []
    for L, sigma in irreps:
        own = np.arange(component_slice(L).start, component_slice(L).stop)
        of_pattern = pattern[own + (0 if sigma == 1 else n_components(max(max_l, 1)))]
        base = (2 * L + 1) * d[:, own] * weights[:, None]  # [eighth, (M, M')]
        turned = base[None] * all_signs[list(TURNS)][:, None, of_pattern]  # [turn, eighth, (M, M')]
        rows.append(turned.reshape(-1, len(own)).T)
        even.append(of_pattern % 2 == 0)
    is_even = np.concatenate(even)
    order = np.argsort(~is_even, kind="stable")
    return np.ascontiguousarray(np.concatenate(rows)[order]), int(is_even.sum()), order
