"""Choices among numbers that are equal up to rounding, made by rule: alike on every processor and with every BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hamlearn.types import FloatArray, IntArray

RELATIVE = 1e-9
"""Numbers closer than this, in units of the best or the largest of them, count as equal."""


def first_of_best(values: ArrayLike, relative: float = RELATIVE) -> Any:
    """Return the lowest index along axis 0 among the values within a fraction of the largest one.

    For the smallest of some numbers give their negatives; for the smallest of numbers that may vanish, such as
    cosines, the distance from something that does not, since nothing is close to zero relative to zero.

    Args:
        values: nan counts as worse than all others [n, ...].
        relative: of the magnitude of the best value.

    Returns:
        A whole number, of more axes an array of them [...]; 0 where all are nan.

    Raises:
        ValueError: if there are no values.

    Another order of the values gives another one of those that are equal.
    """
    x = np.asarray(values, dtype=np.float64)
    x = np.where(np.isnan(x), -np.inf, x)
    best = x.max(axis=0)
    margin = relative * np.abs(np.where(np.isfinite(best), best, 0.0))
    return (x >= best - margin).argmax(axis=0)


def tied_ranks(values: ArrayLike, relative: float = RELATIVE, scale: float | None = None) -> IntArray:
    """Return the rank of every value from the smallest, 0, one rank for neighbours closer than relative x scale [n].

    Sorting by rank, and by something exact among equals, gives one order on all machines.

    Args:
        values: finite [n].
        relative: how close neighbours in order of size share a rank, in units of the scale.
        scale: size that differences are compared with; None: the largest magnitude.
    """
    x = np.asarray(values, dtype=np.float64)
    order = np.argsort(x, kind="stable")
    size = np.abs(x).max(initial=0.0) if scale is None else scale
    ranks = np.zeros(len(x), dtype=np.int64)
    ranks[order[1:]] = np.cumsum(np.diff(x[order]) > relative * size)
    return ranks


def with_fixed_sign(vector: FloatArray) -> FloatArray:
    """Return v or -v, the one whose component of largest magnitude is positive, the first of those that tie [n]."""
    return vector if vector[first_of_best(np.abs(vector))] >= 0 else -vector
