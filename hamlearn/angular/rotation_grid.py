"""Quadrature over rotations, the Wigner matrices at its nodes, and their norms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.types import FloatArray


@dataclass(frozen=True, eq=False)
class RotationGrid:
    """Nodes R = R_z(alpha) R_y(beta) R_z(gamma) whose weighted sum is the normalised Haar integral over SO(3).

    Exact for products of Wigner functions whose degrees add up to ``degree``.

    Attributes:
        degree: largest total degree that is integrated exactly.
        alpha: equidistant angles [n_alpha]; gamma has the same.
        beta: arc cosines of the Gauss-Legendre nodes [n_beta].
        beta_weights: add up to 1 [n_beta].
    """

    degree: int
    alpha: FloatArray
    beta: FloatArray
    beta_weights: FloatArray

    @property
    def weights(self) -> FloatArray:
        """Weight of every node [alpha x beta x gamma, flattened]; they add up to 1."""
        n = len(self.alpha)
        return np.broadcast_to(self.beta_weights[None, :, None] / n**2, (n, len(self.beta), n)).ravel()

    def wigner_functions(self, max_l: int) -> FloatArray:
        """Return D^l_{mm'}(R) at every node [node, sum of (2l + 1)^2], l slowest, then m, then m'."""
        about_z = [real_wigner_d(_rotation(angle, 2), max_l) for angle in self.alpha]
        about_y = [real_wigner_d(_rotation(angle, 1), max_l) for angle in self.beta]
        columns = []
        for l in range(max_l + 1):
            z, y = np.stack([d[l] for d in about_z]), np.stack([d[l] for d in about_y])
            d = np.einsum("amn,bnk,gkp->abgmp", z, y, z, optimize=True)
            columns.append(d.reshape(-1, (2 * l + 1) ** 2))
        return np.concatenate(columns, axis=1)


@cache
def rotation_grid(degree: int) -> RotationGrid:
    """Return the product grid with (degree + 1)^2 x ceil((degree + 1) / 2) nodes."""
    nodes, weights = np.polynomial.legendre.leggauss((degree + 2) // 2)
    alpha = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
    return RotationGrid(degree, alpha, np.arccos(nodes), weights / 2)


def haar_weights(max_l: int) -> FloatArray:
    """Return 8 pi^2 / (2l + 1) for l = 0 ... max_l [max_l + 1], the integral of (D^l_mm')^2 over SO(3).

    These are the published weights of the kernel of order 1.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), eq. 5.
    """
    return 8 * np.pi**2 / (2 * np.arange(max_l + 1) + 1)


def _rotation(angle: float, axis: int) -> FloatArray:
    """Return the rotation by an angle about y (1) or z (2) [3, 3]."""
    c, s = np.cos(angle), np.sin(angle)
    out = np.eye(3)
    i, j = (0, 1) if axis == 2 else (2, 0)
    out[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return out
