"""Functions of distance that multiply every neighbour: cut-off, radial scaling and decay."""

from __future__ import annotations

import torch
from torch import Tensor

from hamlearn.config import DensitySettings, ScalingSettings


def neighbour_weight(r: Tensor, settings: DensitySettings) -> Tensor:
    """Return f(r) u(r) exp(-r / decay), the weight of a neighbour at r, Å, any shape."""
    weight = shifted_cosine(r, settings.cutoff_angstrom, settings.cutoff_width_angstrom)
    weight = weight * radial_scaling(r, settings.scaling)
    return weight if settings.decay_angstrom is None else weight * torch.exp(-r / settings.decay_angstrom)


def shifted_cosine(r: Tensor, cutoff: float, width: float) -> Tensor:
    """Return 1 for r < cutoff - width, (1 + cos(pi (r - cutoff + width) / width)) / 2 up to cutoff, then 0.

    Args:
        r: distances, Å, any shape.
        cutoff: Å.
        width: Å.
    """
    x = ((r - cutoff + width) / width).clamp(0.0, 1.0)
    return 0.5 * (1.0 + torch.cos(torch.pi * x))


def radial_scaling(r: Tensor, scaling: ScalingSettings | None) -> Tensor:
    """Return u(r) = c / (c + (r / r0)^m); 1 for m = 0, (r / r0)^-m for c = 0.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), as in its published example scripts.
    """
    if scaling is None or scaling.exponent == 0:
        return torch.ones_like(r)
    power = (r / scaling.scale_angstrom) ** scaling.exponent
    return scaling.rate / (scaling.rate + power) if scaling.rate else 1.0 / power
