"""Real spherical harmonics of batches of vectors (torch)."""

from __future__ import annotations

from functools import cache

import sphericart.torch
from torch import Tensor


@cache
def _calculator(max_l: int) -> sphericart.torch.SphericalHarmonics:
    return sphericart.torch.SphericalHarmonics(max_l)


def spherical_harmonics(vectors: Tensor, max_l: int) -> Tensor:
    """Return Y_lm of the directions of ``vectors`` [n, (max_l + 1)^2], column l^2 + l + m.

    Args:
        vectors: [n, 3], any length but zero; values have their dtype and device and can be differentiated.
        max_l: largest l, inclusive.

    Transformation: Y_l(R x) = D^l(R) Y_l(x), R in O(3).
    """
    if len(vectors) == 0:
        return vectors.new_zeros((0, (max_l + 1) ** 2))
    return _calculator(max_l).compute(vectors.contiguous())


def harmonics_with_gradients(vectors: Tensor, max_l: int) -> tuple[Tensor, Tensor]:
    """Return Y_lm(r) [n, (max_l + 1)^2] and dY_lm/dr [n, 3 (x, y, z), (max_l + 1)^2] per unit of ``vectors``."""
    if len(vectors) == 0:
        return spherical_harmonics(vectors, max_l), vectors.new_zeros((0, 3, (max_l + 1) ** 2))
    values, gradients = _calculator(max_l).compute_with_gradients(vectors.contiguous())
    return values, gradients
