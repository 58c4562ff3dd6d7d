"""The parts of an environment kernel: what a model mixes, computed from the kernel of order 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hamlearn.config import KernelSettings
from hamlearn.kernels.soap import Norms, cosine, inverse_roots, inverse_roots_of_irrep, self_kernel, soap_kernel
from hamlearn.kernels.wigner import invariant_of, invariant_orders
from hamlearn.o3.group_function import GroupFunction
from hamlearn.types import Irrep


def n_parts(settings: KernelSettings) -> int:
    """Return the number of parts: orders 0 ... max_nu of a mixture, else order 0 and the kernel itself."""
    return settings.max_nu + 1 if settings.kind == "wigner" else 2


def invariant_parts(k1: GroupFunction, settings: KernelSettings, norms: Sequence[Norms] = ()) -> Tensor:
    """Return the parts of the invariant kernel [n_parts, *samples].

    Args:
        k1: kernel of order 1.
        settings: which kernel.
        norms: for kind soap those of :func:`inverse_norms`. Two atoms without any neighbour have kernel 1, one with
            and one without have 0.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024); SOAP: Ceriotti, Willatt, Csányi, Handbook of
    Materials Modeling (2018).
    """
    if settings.kind == "wigner":
        return invariant_orders(k1, settings.max_nu)
    kernel = _one_invariant(k1, settings, norms) ** settings.zeta
    return torch.stack([torch.ones_like(kernel), kernel])


def equivariant_parts(k1: GroupFunction, settings: KernelSettings, irrep: Irrep, norms: Sequence[Norms] = ()) -> Tensor:
    """Return the parts of the kernel of one (L, sigma) [n_parts, 2L+1, 2L+1, *samples].

    Part 0 is zero unless L = 0 and sigma = +1. For a power zeta > 1 the kernel of (L, sigma) is multiplied by the
    invariant kernel to the power zeta - 1; kind soap is the kernel of SA-GPR, each factor divided by its norms.

    Args:
        k1: kernel of order 1.
        settings: which kernel.
        irrep: (L, sigma).
        norms: for kind soap those of :func:`inverse_norms`, of the invariant and of this irrep.
    """
    m = 2 * irrep[0] + 1
    if irrep == (0, 1) and settings.kind != "wigner":
        return invariant_parts(k1, settings, norms)[:, None, None]
    out = k1.values.new_zeros((n_parts(settings), m, m, *k1.samples))
    if irrep == (0, 1):
        out[0] = 1.0
    if settings.kind == "wigner":
        for nu, kernel in enumerate(_orders(k1, irrep, settings.max_nu), 1):
            out[nu] = kernel
        return out
    kernel = _orders(k1, irrep, settings.max_nu if settings.kind == "order" else 2)[-1]
    if settings.zeta > 1:
        kernel = kernel * _one_invariant(k1, settings, norms) ** (settings.zeta - 1)
    out[1] = kernel if settings.kind == "order" else kernel * norms[1][0] * norms[1][1]
    return out


def inverse_norms(c: Tensor, settings: KernelSettings, irrep: Irrep | None = None) -> list[Tensor]:
    """Return the inverse roots of self-kernels of densities: SOAP's and those of an irrep; none for other kinds [i]."""
    if settings.kind != "soap":
        return []
    own = self_kernel(c, settings.max_l)
    return [inverse_roots(own)] if irrep is None else [inverse_roots(own), inverse_roots_of_irrep(own, irrep)]


def _one_invariant(k1: GroupFunction, settings: KernelSettings, norms: Sequence[Norms]) -> Tensor:
    """Return the one invariant kernel of the kinds order and soap, before its power."""
    if settings.kind == "order":
        return invariant_of(k1.powers((settings.max_nu + 1) // 2), settings.max_nu)
    if not norms:
        raise ValueError("a normalised kernel needs the norms of its environments; make them with inverse_norms")
    return cosine(soap_kernel(k1, 2), norms[0])


def _orders(k1: GroupFunction, irrep: Irrep, max_nu: int) -> list[Tensor]:
    """Return the kernels of orders 1 ... max_nu of one irrep [2L+1, 2L+1, *samples]; of the last nothing else."""
    lower = k1.powers(max(1, max_nu - 1))
    out = [k.coefficients(*irrep).movedim((-2, -1), (0, 1)) for k in lower]
    return [*out, lower[-1].product_irrep(k1, *irrep)] if max_nu > 1 else out
