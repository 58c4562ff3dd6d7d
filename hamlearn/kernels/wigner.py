"""Wigner kernels: powers of the density kernel as functions on O(3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hamlearn.errors import ConfigError
from hamlearn.o3.group_function import Backend, GroupFunction
from hamlearn.o3.layout import component_slice, n_components


def density_kernel(c_i: Tensor, c_j: Tensor, max_l: int, backend: Backend = "auto") -> GroupFunction:
    """Return k^{1; l}_{mm'}(i, j) = sum_q c_{q l m}(i) c_{q l m'}(j) for all pairs, the kernel of order 1.

    Args:
        c_i: densities [i, (max_l + 1)^2, q].
        c_j: densities [j, (max_l + 1)^2, q].
        max_l: largest l.
        backend: of products made of the result.

    Returns:
        f_ij(R) = <rho_i | R rho_j>, sigma = +1 only, samples [i, j].

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), eq. 5 without its factor 8 pi^2 / (2l + 1),
    so that the mean of f^2 over O(3) is the SOAP kernel.
    """
    values = c_i.new_empty((1, n_components(max_l), len(c_i), len(c_j)))
    for l in range(max_l + 1):
        rows = slice(l * l, (l + 1) ** 2)
        left, right = c_i[:, rows].flatten(0, 1), c_j[:, rows].flatten(0, 1)
        k = (left @ right.T).view(len(c_i), 2 * l + 1, len(c_j), 2 * l + 1)  # [i, m, j, m']
        values[0, component_slice(l)].unflatten(0, (2 * l + 1, 2 * l + 1)).copy_(k.permute(1, 3, 0, 2))
    return GroupFunction(values, max_l, backend)


def invariant_orders(k1: GroupFunction, max_nu: int) -> Tensor:
    """Return the invariant kernels of order 0 ... max_nu [max_nu + 1, *samples].

    Only orders up to ceil(max_nu / 2) are made in full, see :func:`invariant_of`.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), appendix F.
    """
    out = k1.values.new_empty((max_nu + 1, *k1.samples))
    out[0] = 1.0
    powers = k1.powers(max(1, (max_nu + 1) // 2))
    for nu in range(1, max_nu + 1):
        out[nu] = invariant_of(powers, nu)
    return out


def invariant_of(powers: Sequence[GroupFunction], nu: int) -> Tensor:
    """Return the mean of f^nu over O(3) [*samples], nu >= 1, from f^1 ... f^ceil(nu / 2) or more.

    Multiplication by k^1 followed by truncation is self-adjoint, so k^{a+b; 0+} = sum k^a k^b / (2l + 1) holds exactly.
    """
    return powers[0].mean() if nu == 1 else powers[nu // 2 - 1].inner(powers[(nu + 1) // 2 - 1])


def wigner_kernels(
    c_i: Mapping[int, Any], c_j: Mapping[int, Any], max_nu: int, max_l: int, truncate: bool = True
) -> dict[tuple[int, int, int], Any]:
    """Return all Wigner kernels k^{nu; L sigma}_{MM'}(i, j), the coefficients of f^nu, f(R) = <rho_i | R rho_j>.

    Args:
        c_i: density coefficients of l = 0 ... max_l, each [n_i, 2l+1, q_l], m = -l ... l, numpy or torch.
        c_j: the same of the other environments, [n_j, 2l+1, q_l].
        max_nu: largest order, at least 1.
        max_l: largest l of densities and kernels.
        truncate: cut every product to l <= max_l, as published; otherwise f^nu is exact and only the result is cut.

    Returns:
        {(nu, L, sigma): [n_i, n_j, 2L+1, 2L+1]}, numpy in, numpy out; torch in, torch out (views, on the same device).
        (1, L, -1) is zero.

    Raises:
        ConfigError: if a density is missing, not real or not finite, if shapes do not fit, or if max_nu or max_l is no
            whole number.

    For R, S in O(3), k(R i, S j) = s D^L(R) k D^L(S)^T, s = 1 for proper and sigma for improper ones.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), eqs. 5 and 6, without l-dependent weights.
    """
    _check_whole("max_nu", max_nu, 1)
    _check_whole("max_l", max_l, 0)
    left, right = _checked("c_i", c_i, max_l), _checked("c_j", c_j, max_l)
    is_numpy = not any(isinstance(c[l], Tensor) for c in (c_i, c_j) for l in left)
    if len({(density.dtype, density.device) for c in (left, right) for density in c.values()}) > 1:
        raise ConfigError("the densities differ in dtype or device; give all in one, float64 or float32")
    if any(left[l].shape[2] != right[l].shape[2] for l in left):
        raise ConfigError("c_i and c_j have different numbers of channels; make both with one expansion")
    n_channels = {density.shape[2] for density in left.values()}
    if len(n_channels) > 1:
        left, right = (_padded(c, max(n_channels)) for c in (left, right))
    c_left, c_right = (torch.cat([c[l] for l in range(max_l + 1)], dim=1) for c in (left, right))
    k1 = density_kernel(c_left, c_right, max_l)
    orders = k1.powers(max_nu) if truncate else k1.exact_powers(max_nu)
    out = {
        (nu, L, sigma): k.coefficients(L, sigma)
        for nu, k in enumerate(orders, 1)
        for L in range(max_l + 1)
        for sigma in (1, -1)
    }
    return {key: k.numpy() for key, k in out.items()} if is_numpy else out


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ConfigError(f"wigner_kernels got {name} = {value!r}; expected a whole number, at least {least}")


def _checked(name: str, c: Any, max_l: int) -> dict[int, Tensor]:
    if not isinstance(c, Mapping):
        raise ConfigError(f"{name} is a {type(c).__name__}; expected a dict {{l: array [n, 2l+1, q]}}")
    missing = [l for l in range(max_l + 1) if l not in c]
    if missing:
        raise ConfigError(f"{name}: densities of l = {missing} are missing; give an array for every l = 0 ... {max_l}")
    out = {l: _real(f"{name}, l = {l}", c[l]) for l in range(max_l + 1)}
    n = len(out[0]) if out[0].ndim else 0
    for l, density in out.items():
        if density.ndim != 3 or density.shape[1] != 2 * l + 1 or len(density) != n:
            raise ConfigError(
                f"{name}, l = {l}: the density has shape {tuple(density.shape)}; expected [{n}, {2 * l + 1}, q]"
            )
        if not torch.isfinite(density).all():
            raise ConfigError(f"{name}, l = {l}: the density has NaN or infinite numbers; leave such environments out")
    return out


def _real(where: str, density: Any) -> Tensor:
    """Return a density as a tensor of float32 or float64."""
    try:
        given = density if isinstance(density, Tensor) else torch.from_numpy(np.array(density))
    except (TypeError, ValueError):  # text, objects, lists of unequal lengths
        given = None
    if given is None or given.is_complex():
        raise ConfigError(f"{where}: the density is no array of real numbers; expected [n, 2l+1, q] of real harmonics")
    return given if given.dtype in (torch.float32, torch.float64) else given.to(torch.float64)


def _padded(c: dict[int, Tensor], n: int) -> dict[int, Tensor]:
    """Return densities with zero channels added up to n."""
    return {l: torch.nn.functional.pad(density, (0, n - density.shape[2])) for l, density in c.items()}
