"""Functions of distance that multiply every neighbour: cut-off and radial scaling."""

from __future__ import annotations

import numpy as np

from hamlearn.config import ScalingSettings
from hamlearn.types import FloatArray


def shifted_cosine(r: FloatArray, cutoff: float, width: float) -> FloatArray:
    """Return 1 for r < cutoff - width, (1 + cos(pi (r - cutoff + width) / width)) / 2 up to cutoff, then 0.

    Args:
        r: distances, Å, any shape.
        cutoff: Å.
        width: Å.
    """
    x = np.clip((r - cutoff + width) / width, 0.0, 1.0)
    return 0.5 * (1.0 + np.cos(np.pi * x))


def radial_scaling(r: FloatArray, scaling: ScalingSettings | None) -> FloatArray:
    """Return u(r) = c / (c + (r / r0)^m); 1 for m = 0, (r / r0)^-m for c = 0.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), as in its published example scripts.
    """
    if scaling is None or scaling.exponent == 0:
        return np.ones_like(r)
    power = (r / scaling.scale_angstrom) ** scaling.exponent
    return scaling.rate / (scaling.rate + power) if scaling.rate else 1.0 / power
