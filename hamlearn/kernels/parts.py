"""The parts of an environment kernel: what a model mixes, computed from the kernel of order 1."""

from __future__ import annotations

import torch
from torch import Tensor

from hamlearn.config import KernelSettings
from hamlearn.kernels.wigner import invariant_orders, wigner_orders
from hamlearn.o3.group_function import GroupFunction
from hamlearn.o3.layout import component_slice, n_components
from hamlearn.types import Irrep

Norms = tuple[Tensor, Tensor]
"""Square roots of self-kernels of the left and of the right side."""
SYMMETRIC_SITE = 1e-13  # of an irrep's norm to that of the invariant: below, the site's symmetry forbids the irrep


def n_parts(settings: KernelSettings) -> int:
    """Return the number of parts: orders 0 ... max_nu of a mixture, else order 0 and the kernel itself."""
    return settings.max_nu + 1 if settings.kind == "wigner" else 2


def invariant_parts(k1: GroupFunction, settings: KernelSettings, norms: Norms | None = None) -> Tensor:
    """Return the parts of the invariant kernel [n_parts, *samples].

    Args:
        k1: kernel of order 1.
        settings: which kernel.
        norms: for kind soap the square roots of both self-kernels, broadcast to the samples. Two atoms without any
            neighbour have kernel 1, one with and one without have 0.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024); SOAP: Ceriotti, Willatt, Csányi, Handbook of
    Materials Modeling (2018).
    """
    if settings.kind == "wigner":
        return invariant_orders(k1, settings.max_nu)
    one_order = settings.kind == "order"
    kernel = invariant_orders(k1, settings.max_nu)[-1] if one_order else _normalised(k1, norms)
    return torch.stack([torch.ones_like(kernel), kernel**settings.zeta])


def equivariant_parts(
    k1: GroupFunction, settings: KernelSettings, irrep: Irrep, norms: tuple[Norms, Norms] | None = None
) -> Tensor:
    """Return the parts of the kernel of one (L, sigma) [n_parts, 2L+1, 2L+1, *samples].

    Part 0 is zero unless L = 0 and sigma = +1. For a power zeta > 1 the kernel of (L, sigma) is multiplied by the
    invariant kernel to the power zeta - 1; kind soap is the kernel of SA-GPR, each factor divided by its norms.

    Args:
        k1: kernel of order 1.
        settings: which kernel.
        irrep: (L, sigma).
        norms: for kind soap the square roots of the self-kernels of both sides, of the invariant and of this irrep.
    """
    L, sigma = irrep
    m = 2 * L + 1
    out = k1.values.new_zeros((n_parts(settings), m, m, *k1.samples))
    if irrep == (0, 1):
        out[0] = 1.0
    if settings.kind == "wigner":
        orders = wigner_orders(k1, settings.max_nu - 1)
        for nu, k in enumerate(orders[: settings.max_nu], 1):
            out[nu] = k.coefficients(L, sigma).movedim((-2, -1), (0, 1))
        if settings.max_nu > 1:
            out[-1] = orders[-1].product_irrep(k1, L, sigma)
        return out
    order = settings.max_nu if settings.kind == "order" else 2
    if irrep == (0, 1):
        out[1] = invariant_parts(k1, settings, None if norms is None else norms[0])[1]
        return out
    kernel = _one_order(k1, order, L, sigma)
    if settings.zeta > 1:
        invariant = invariant_orders(k1, order)[-1] if norms is None else _normalised(k1, norms[0])
        kernel = kernel * invariant ** (settings.zeta - 1)
    out[-1] = kernel if norms is None else _divided(kernel, norms[1])
    return out


def self_kernel(c: Tensor, max_l: int) -> GroupFunction:
    """Return the kernel of order 1 of every environment with itself, samples [i]."""
    values = c.new_empty((1, n_components(max_l), len(c)))
    for l in range(max_l + 1):
        density = c[:, l * l : (l + 1) ** 2]
        values[0, component_slice(l)] = (density @ density.transpose(1, 2)).flatten(1).T
    return GroupFunction(values, max_l)


def root_norms(c: Tensor, settings: KernelSettings, irrep: Irrep | None = None) -> tuple[Tensor, Tensor] | None:
    """Return sqrt k(i, i) of the SOAP kernel and sqrt |k^{L sigma}(i, i)|_F [i]; None for kinds that need no norms."""
    if settings.kind != "soap":
        return None
    k1 = self_kernel(c, settings.max_l)
    invariant = k1.inner(k1).clamp(min=0).sqrt()
    if irrep is None:
        return invariant, invariant
    norm = torch.linalg.norm(k1.product_irrep(k1, *irrep).flatten(0, 1), dim=0)
    symmetric = norm < SYMMETRIC_SITE * invariant**2  # zero but for rounding
    return invariant, torch.where(symmetric, torch.zeros_like(norm), norm.sqrt())


def _one_order(k1: GroupFunction, order: int, L: int, sigma: int) -> Tensor:
    if order == 1:
        return k1.coefficients(L, sigma).movedim((-2, -1), (0, 1))
    previous = wigner_orders(k1, order - 1)[-1]
    return previous.product_irrep(k1, L, sigma)


def _normalised(k1: GroupFunction, norms: Norms | None) -> Tensor:
    """Return the normalised SOAP kernel."""
    if norms is None:
        raise ValueError("a normalised kernel needs the norms of its environments; make them with root_norms")
    kernel = _divided(k1.inner(k1), norms)
    return torch.where((norms[0] == 0) & (norms[1] == 0), torch.ones_like(kernel), kernel)


def _divided(kernel: Tensor, norms: Norms) -> Tensor:
    """Return kernel / norms, 0 where a norm is: an environment without such a density has nothing to compare."""
    norm = norms[0] * norms[1]
    return torch.where(norm > 0, kernel / norm.clamp(min=1e-300), torch.zeros_like(kernel))
