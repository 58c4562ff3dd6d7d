"""Matrices of two spins as channels that are learned side by side: their mean and half their difference.

The mean is like the matrix of a closed shell; the difference is small, and zero where no electron is unpaired.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from hamlearn.types import FloatArray

Occupied: TypeAlias = int | tuple[int, int]
"""Number of doubly occupied levels, or of occupied levels of spin alpha and beta."""

SPINS = ("alpha", "beta")


def to_channels(alpha: FloatArray, beta: FloatArray) -> FloatArray:
    """Return (alpha + beta) / 2 and (alpha - beta) / 2 [channel, ao, ao]; both transform as alpha and beta do."""
    return np.stack([0.5 * (alpha + beta), 0.5 * (alpha - beta)])


def to_spins(channels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return alpha and beta of :func:`to_channels` [ao, ao] each."""
    mean, half_difference = channels
    return mean + half_difference, mean - half_difference
