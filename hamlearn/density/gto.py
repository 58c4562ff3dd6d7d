"""Radial integrals of a Gaussian-smeared neighbour with a Gaussian-type radial basis, analytic."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, hyp1f1

from hamlearn.types import FloatArray


def gto_widths(cutoff: float, width: float, n: int) -> FloatArray:
    """Return s_k = (cutoff - width) max(sqrt k, 1) / n for k = 0..n-1 [n], Å."""
    return (cutoff - width) * np.maximum(np.sqrt(np.arange(n)), 1.0) / n


def gto_overlap(s: FloatArray) -> FloatArray:
    """Return the overlap of the normalised R_k(r) = N_k r^k exp(-r^2 / 2 s_k^2) [n, n]."""
    k = np.arange(len(s))
    log_norm = 0.5 * (np.log(2.0) - (2 * k + 3) * np.log(s) - gammaln(k + 1.5))
    power = (k[:, None] + k + 3) / 2
    exponent = 0.5 / s[:, None] ** 2 + 0.5 / s**2
    log_overlap = gammaln(power) - np.log(2.0) - power * np.log(exponent)
    return np.exp(log_norm[:, None] + log_norm + log_overlap)


def orthonormaliser(s: FloatArray) -> FloatArray:
    """Return S^-1/2 of the Gaussian-type basis [n, n]."""
    values, vectors = np.linalg.eigh(gto_overlap(s))
    keep = values > 1e-13 * values[-1]
    return (vectors[:, keep] / np.sqrt(values[keep])) @ vectors[:, keep].T


def gto_integrals(r: FloatArray, s: FloatArray, smearing: FloatArray, max_l: int) -> FloatArray:
    """Return I_nl(r) = 4 pi e^(-r^2/2 sigma^2) int x^2 R_n(x) e^(-x^2/2 sigma^2) i_l(x r / sigma^2) dx.

    R_n are the orthonormalised Gaussian-type functions; the Gaussian is not normalised. Evaluated by 1F1 after
    Kummer's transformation, so that no exponential grows.

    Args:
        r: distances [pair], Å.
        s: widths of the radial functions [n], Å.
        smearing: sigma of each neighbour [pair], Å.
        max_l: largest l, inclusive.

    Returns:
        [pair, max_l + 1, n].

    Source: Musil et al., Chem. Rev. 121, 9759 (2021), section 4; Nigam, Willatt, Ceriotti,
    J. Chem. Phys. 156, 014115 (2022).
    """
    k = np.arange(len(s))
    l = np.arange(max_l + 1)[:, None]
    sigma = np.asarray(smearing, dtype=np.float64)[:, None, None]
    a = 0.5 / sigma**2 + 0.5 / s**2  # [pair, 1, n]
    log_norm = 0.5 * (np.log(2.0) - (2 * k + 3) * np.log(s) - gammaln(k + 1.5))
    power = (k + l + 3) / 2  # [l, n]
    prefactor = np.exp(log_norm - power * np.log(a) + gammaln(power) - gammaln(l + 1.5)) * np.pi**1.5
    rr = np.asarray(r, dtype=np.float64)[:, None, None]
    z = (rr / sigma**2) ** 2 / (4 * a)  # [pair, 1, n]
    decay = np.exp(z - 0.5 * (rr / sigma) ** 2)
    primitive = prefactor * (rr / (2 * sigma**2)) ** l * decay * hyp1f1((l - k) / 2, l + 1.5, -z)
    return primitive @ orthonormaliser(s)
