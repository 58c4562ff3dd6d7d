"""SOAP and lambda-SOAP kernels: means and projections of powers of the density kernel, normalised and raised."""

from __future__ import annotations

import torch
from torch import Tensor

from hamlearn.errors import ConfigError
from hamlearn.kernels.wigner import density_kernel, invariant_of
from hamlearn.o3.group_function import GroupFunction
from hamlearn.o3.layout import component_slice, n_components
from hamlearn.types import Irrep

Norms = tuple[Tensor, Tensor]
"""Inverse roots of self-kernels of the left and of the right side, shaped to broadcast to the samples."""
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
    if nu not in (1, 2, 3):
        raise ConfigError(f"SOAP kernels have order 1, 2 or 3, got {nu}; use invariant_orders for higher ones")
    return invariant_of(k1.powers((nu + 1) // 2), nu)


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


def normalised_soap(c_i: Tensor, c_j: Tensor, max_l: int, nu: int = 2, zeta: float = 1.0) -> Tensor:
    """Return [k(i, j) / sqrt(k(i, i) k(j, j))]^zeta [i, j], k the SOAP kernel of order nu.

    An isolated atom, k(i, i) = 0, has kernel 0 with every environment and 1 with another isolated atom.

    Args:
        c_i: densities [i, (max_l + 1)^2, q].
        c_j: densities [j, (max_l + 1)^2, q].
        max_l: largest l.
        nu: order of the linear kernel, 1 to 3.
        zeta: positive exponent; only an integer keeps every kernel positive semi-definite.

    Raises:
        ConfigError: if zeta is not positive, or no integer while some k(i, j) are negative.

    Invariant to rotations and inversion of either environment. Centres of different elements are not told apart:
    multiply by a :class:`hamlearn.kernels.SpeciesCoupling` between them.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), section III B.
    """
    if not 0 < zeta < float("inf"):
        raise ConfigError(f"zeta is {zeta}; expected a positive number, best an integer")
    left, right = (inverse_roots(self_kernel(c, max_l), nu) for c in (c_i, c_j))
    kernel = cosine(soap_kernel(density_kernel(c_i, c_j, max_l), nu), (left[:, None], right))
    if float(zeta).is_integer():
        return kernel ** int(zeta)
    if bool((kernel < -VANISHING * torch.finfo(kernel.dtype).eps).any()):
        raise ConfigError(f"zeta is {zeta}, but some kernels are negative; take an integer")
    return kernel.clamp(min=0.0) ** zeta


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
    left, right = (inverse_roots_of_irrep(self_kernel(c, max_l), (L, sigma)) for c in (c_i, c_j))
    scale = (left[:, None] * right) ** (1 if sqrt else 2)
    if zeta > 1:
        scale = scale * normalised_soap(c_i, c_j, max_l, 2, zeta - 1)
    return kernel * scale[:, :, None, None]


def self_kernel(c: Tensor, max_l: int) -> GroupFunction:
    """Return the kernel of order 1 of every environment with itself, samples [i]."""
    values = c.new_empty((1, n_components(max_l), len(c)))
    for l in range(max_l + 1):
        density = c[:, l * l : (l + 1) ** 2]
        values[0, component_slice(l)] = (density @ density.transpose(1, 2)).flatten(1).T
    return GroupFunction(values, max_l)


def inverse_roots(own: GroupFunction, nu: int = 2) -> Tensor:
    """Return k(i, i)^(-1/2) of the SOAP kernel of order nu from :func:`self_kernel` [i], 0 for an isolated atom."""
    return _inverse_root(soap_kernel(own, nu))


def inverse_roots_of_irrep(own: GroupFunction, irrep: Irrep) -> Tensor:
    """Return |k^{L sigma}(i, i)|^(-1/2) [i], 0 where the site's symmetry forbids such a tensor, but for rounding."""
    norm = torch.linalg.matrix_norm(lambda_soap_kernel(own, *irrep))
    rounding = VANISHING * torch.finfo(norm.dtype).eps * soap_kernel(own, 2)
    return _inverse_root(torch.where(norm > rounding, norm, 0.0))


def cosine(kernel: Tensor, norms: Norms) -> Tensor:
    """Return k(i, j) / sqrt(k(i, i) k(j, j)): 0 for an isolated atom with any environment, 1 with another one."""
    left, right = norms
    return left * kernel * right + ((left == 0) & (right == 0)).to(kernel)


def _inverse_root(x: Tensor) -> Tensor:
    """Return x^(-1/2), zero where x is not positive; its derivatives there are zero as well."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).rsqrt(), 0.0)
