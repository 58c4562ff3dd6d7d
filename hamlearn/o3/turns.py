"""Wigner matrices of many rotations: by a compiled recursion, or with torch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.bond_frame import rotations_of
from hamlearn.o3.compiled import load_function
from hamlearn.types import FloatArray

MOST_L = 12
"""Of the compiled loop; see _turns.c."""


@cache
def _loop() -> Callable[..., Any] | None:
    """Return the compiled loop, None where it was not built."""
    return load_function("_turns", "hamlearn_turns", [*[ctypes.c_int64] * 2, *[ctypes.c_void_p] * 3])


def is_compiled() -> bool:
    """Return whether the compiled loop was built when hamlearn was installed."""
    return _loop() is not None


def turns_of(rotations: Tensor, max_l: int) -> list[Tensor]:
    """Return D^l(Q) with Y_l(Q v) = D^l(Q) Y_l(v) for l = 0 ... max_l, each [rotation, 2l+1, 2l+1].

    Compiled for float64 on CPUs where no derivatives are recorded; otherwise as :func:`rotations_of`, the same up to
    rounding.

    Args:
        rotations: proper Q [rotation, 3, 3].
        max_l: largest l.

    Source: Ivanic, Ruedenberg, J. Phys. Chem. 100, 6342 (1996), corrected in J. Phys. Chem. A 102, 9099 (1998).
    """
    loop, recorded = _loop(), torch.is_grad_enabled() and rotations.requires_grad
    plain = rotations.dtype == torch.float64 and rotations.device.type == "cpu" and not recorded
    if loop is None or not plain or max_l > MOST_L:
        return rotations_of(rotations, max_l)
    given, n = rotations.detach().contiguous(), len(rotations)
    out = [given.new_empty((n, 2 * l + 1, 2 * l + 1)) for l in range(max_l + 1)]
    pointers = (ctypes.c_void_p * len(out))(*(d.data_ptr() for d in out))
    loop(n, max_l, given.data_ptr(), _coefficients(max_l).ctypes.data, pointers)
    return out


@cache
def _coefficients(max_l: int) -> FloatArray:
    """Return u, v (with the factor that its terms have at |m| = 1) and w of table 1 [element of l = 2 ... max_l, 3]."""
    tables = [np.zeros((0, 3))]
    for l in range(2, max_l + 1):
        m, n = np.meshgrid(np.arange(-l, l + 1), np.arange(-l, l + 1), indexing="ij")
        size, zero = np.abs(m), m == 0
        below = np.where(np.abs(n) == l, 2 * l * (2 * l - 1), (l + n) * (l - n))
        u = np.sqrt((l + m) * (l - m) / below)
        v = 0.5 * np.sqrt((1 + zero) * (l + size - 1) * (l + size) / below) * (1 - 2 * zero)
        w = -0.5 * np.sqrt((l - size - 1).clip(min=0) * (l - size) / below) * ~zero
        tables.append(np.stack([u, np.where(size == 1, 2**0.5, 1.0) * v, w], axis=2).reshape(-1, 3))
    return np.ascontiguousarray(np.concatenate(tables))
