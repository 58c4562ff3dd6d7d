"""SOAP and lambda-SOAP kernels: means and projections of powers of the density kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from hamlearn.errors import ConfigError
from hamlearn.kernels.parts import self_kernel
from hamlearn.kernels.wigner import density_kernel
from hamlearn.o3.group_function import GroupFunction

VANISHING = 450  # units of rounding: of a kernel of an environment with itself, relative to its SOAP kernel


def soap_kernel(k1: GroupFunction, nu: int) -> Tensor:
    """Return the mean of f^nu over O(3) [*samples], f the density kernel: the linear SOAP kernel of order nu.

    Args:
        k1: the density kernel, sigma = +1 only.
        nu: 1 (radial distribution), 2 (power spectrum) or 3 (the part of the bispectrum that is even under inversion).

    Raises:
        ConfigError: for another order; Wigner kernels have them all.

    Invariant to rotations and inversion of either environment. No product is truncated.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 38-46, with the measure of all
    rotations normalised to 1 in place of 8 pi^2.
    """
    if nu == 1:
        return k1.mean()
    if nu == 2:
        return k1.inner(k1)
    if nu == 3:
        return k1.product(k1, plus_only=True).inner(k1)
    raise ConfigError(f"SOAP kernels have order 1, 2 or 3, got {nu}; use invariant_orders for higher ones")


def lambda_soap_kernel(k1: GroupFunction, L: int, sigma: int = 1) -> Tensor:
    """Return k^{L sigma} of f^2 [*samples, 2L+1, 2L+1], f the density kernel; neither truncated nor projected beyond L.

    It is the sum over l, l' and channels of P_M P_M', P_M = sum_{mm'} C^{l l' L}_{m m' M} c_{q l m} c_{q' l' m'}.

    Args:
        k1: the density kernel, sigma = +1 only.
        L: angular momentum, up to 2 max_l of the density (zero beyond).
        sigma: parity, +1 or -1.

    Raises:
        ConfigError: for another sigma or a negative L.

    For R, S in O(3), k(R i, S j) = s D^L(R) k D^L(S)^T, s = 1 for proper and sigma for improper ones.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 53-55, with the phase, the prefactor
    and the selection rule that make eq. 55 equivariant.
    """
    if sigma not in (1, -1) or L < 0:
        raise ConfigError(f"lambda-SOAP got L = {L} and sigma = {sigma}; expected L >= 0 and sigma = 1 or -1")
    return k1.product_irrep(k1, L, sigma).movedim((0, 1), (-2, -1))


def normalised_kernel(kernel: Tensor, self_i: Tensor, self_j: Tensor, zeta: float = 1.0) -> Tensor:
    """Return [k(i, j) / sqrt(k(i, i) k(j, j))]^zeta [i, j].

    An isolated atom, k(i, i) = 0, has kernel 0 with every environment and 1 with another isolated atom.

    Args:
        kernel: k(i, j), invariant [i, j].
        self_i: k(i, i) [i].
        self_j: k(j, j) [j].
        zeta: positive exponent; only an integer keeps every kernel positive semi-definite.

    Raises:
        ConfigError: if zeta is not positive, or no integer while some k(i, j) are negative.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), section III B.
    """
    if not 0 < zeta < float("inf"):
        raise ConfigError(f"zeta is {zeta}; expected a positive number, best an integer")
    cosine = _inverse_root(self_i)[:, None] * kernel * _inverse_root(self_j)
    cosine = cosine + ((self_i <= 0)[:, None] & (self_j <= 0)).to(cosine)
    if float(zeta).is_integer():
        return cosine ** int(zeta)
    if bool((cosine < -VANISHING * torch.finfo(cosine.dtype).eps).any()):
        raise ConfigError(f"zeta is {zeta}, but some kernels are negative; take an integer")
    return cosine.clamp(min=0.0) ** zeta


def normalised_soap(c_i: Tensor, c_j: Tensor, max_l: int, nu: int = 2, zeta: float = 1.0) -> Tensor:
    """Return the normalised SOAP kernel of order nu raised to zeta [i, j].

    Args:
        c_i: densities [i, (max_l + 1)^2, q].
        c_j: densities [j, (max_l + 1)^2, q].
        max_l: largest l.
        nu: order of the linear kernel, 1 to 3.
        zeta: exponent, see :func:`normalised_kernel`.

    Invariant to rotations and inversion of either environment. Centres of different elements are not told apart:
    multiply by a :class:`hamlearn.kernels.SpeciesCoupling` between them.
    """
    self_i, self_j = (soap_kernel(self_kernel(c, max_l), nu) for c in (c_i, c_j))
    return normalised_kernel(soap_kernel(density_kernel(c_i, c_j, max_l), nu), self_i, self_j, zeta)


def sa_gpr_kernel(
    c_i: Tensor, c_j: Tensor, max_l: int, L: int, sigma: int = 1, zeta: float = 2.0, sqrt: bool = True
) -> Tensor:
    """Return k^L(i, j) k^0(i, j)^(zeta - 1) / (|k^L(i, i)|^p |k^L(j, j)|^p) [i, j, 2L+1, 2L+1].

    k^L is the lambda-SOAP kernel, k^0 the normalised SOAP kernel of order 2, |.| the Frobenius norm. Where the norm
    vanishes, at sites too symmetric to carry such a tensor, the kernel is zero.

    Args:
        c_i: densities [i, (max_l + 1)^2, q].
        c_j: densities [j, (max_l + 1)^2, q].
        max_l: largest l of the densities.
        L: angular momentum of the target.
        sigma: its parity.
        zeta: 1 for the linear kernel; an integer keeps it positive semi-definite.
        sqrt: p = 1/2, so that |k(i, i)| = 1; otherwise p = 1, as printed in the paper.

    Raises:
        ConfigError: if zeta is below 1.

    For R, S in O(3), k(R i, S j) = s D^L(R) k D^L(S)^T, s = 1 for proper and sigma for improper ones.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eq. 56.
    """
    if not zeta >= 1:
        raise ConfigError(f"zeta is {zeta}; expected 1 (the linear kernel) or more, best an integer")
    kernel = lambda_soap_kernel(density_kernel(c_i, c_j, max_l), L, sigma)
    left, right = (_tensor_norms(self_kernel(c, max_l), L, sigma) ** (1 if sqrt else 2) for c in (c_i, c_j))
    scale = left[:, None] * right
    if zeta > 1:
        scale = scale * normalised_soap(c_i, c_j, max_l, 2, zeta - 1)
    return kernel * scale[:, :, None, None]


def _tensor_norms(k1: GroupFunction, L: int, sigma: int) -> Tensor:
    """Return |k^L(i, i)|^(-1/2), zero where the norm is [i]."""
    norm = torch.linalg.matrix_norm(lambda_soap_kernel(k1, L, sigma))
    return _inverse_root(torch.where(norm > VANISHING * torch.finfo(norm.dtype).eps * soap_kernel(k1, 2), norm, 0.0))


def _inverse_root(x: Tensor) -> Tensor:
    """Return x^(-1/2), zero where x is not positive; its derivatives there are zero as well."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).rsqrt(), 0.0)
