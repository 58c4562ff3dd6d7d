"""Overlap of two neighbour Gaussians of different widths, radial part: the kernel of order 1 without a radial basis."""

from __future__ import annotations

import numpy as np
from scipy.special import ive

from hamlearn.types import FloatArray


def neighbour_width(r: FloatArray, smearing: float, growth: float | None) -> FloatArray:
    """Return s(r) = C exp(r / r0), or C if ``growth`` is None; Å.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), appendix E.
    """
    return np.full_like(r, smearing) if growth is None else smearing * np.exp(r / growth)


def radial_overlap(r: FloatArray, r_other: FloatArray, s: FloatArray, s_other: FloatArray, max_l: int) -> FloatArray:
    """Return kappa_l(r, r') = 4 pi (A / 2 pi)^{3/2} exp(-A (r - r')^2 / 2) e^{-x} i_l(x), x = A r r'.

    A = 1 / (s^2 + s'^2). The overlap of two normalised Gaussians of widths s, s' at r and r' is
    sum_l kappa_l sum_m Y_lm(r) Y_lm(r').

    Args:
        r: distances, Å, any shape.
        r_other: distances of the other environment, broadcast against ``r``.
        s: widths at ``r``, Å.
        s_other: widths at ``r_other``, Å.
        max_l: largest l.

    Returns:
        [*broadcast, max_l + 1], Å^-3, positive; a positive semi-definite kernel of r for every l.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), appendix E, integrated analytically.
    """
    inverse = 1.0 / (s**2 + s_other**2)
    x = np.maximum(inverse * r * r_other, 1e-12)[..., None]
    bessel = np.sqrt(np.pi / (2 * x)) * ive(np.arange(max_l + 1) + 0.5, x)  # e^-x i_l(x)
    amplitude = 4 * np.pi * (inverse / (2 * np.pi)) ** 1.5 * np.exp(-0.5 * inverse * (r - r_other) ** 2)
    return amplitude[..., None] * bessel
