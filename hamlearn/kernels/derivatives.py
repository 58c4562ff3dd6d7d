"""Derivatives of mixtures of invariant kernels, by the product rule of the Wigner iteration.

Every invariant kernel is a polynomial in the coefficients of the kernel of order 1, which is bilinear in the
densities. Products truncated to l <= max_l are self-adjoint, so d<f^nu> = sum_j <f^j f^(nu-1-j) df>: the derivative of
an invariant is itself made of Wigner kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hamlearn.config import KernelSettings
from hamlearn.kernels.wigner import invariant_of
from hamlearn.o3.group_function import GroupFunction
from hamlearn.o3.layout import component_slice, l_of_component

Weight = float | Tensor
"""Of one order: a number, or one per sample."""


@dataclass(frozen=True)
class Mixture:
    """F = sum_nu w_nu <f^nu> of pairs of environments, with what its derivatives need.

    Attributes:
        value: F without order 0, which is the same for all samples [*samples].
        slope: dF/dk^1 [component, *samples].
        powers: f^0, f^1, ... up to max_nu - 1.
        weights: first derivatives of F with respect to each <f^nu>.
        curvature: second derivative with respect to the one order that enters non-linearly, and its own slope.
    """

    value: Tensor
    slope: Tensor
    powers: list[GroupFunction]
    weights: list[Weight]
    curvature: tuple[Tensor, Tensor] | None


def mixture_of(k1: GroupFunction, settings: KernelSettings, weights: Sequence[float]) -> Mixture:
    """Return a mixture of parts and its first derivative.

    Args:
        k1: kernels of order 1.
        settings: kind wigner, or order (F = w_1 <f^nu>^zeta).
        weights: of the parts.
    """
    powers = [k1.identity(), k1]
    while len(powers) < settings.max_nu:
        last = len(powers) == settings.max_nu - 1
        powers.append(powers[-1].product(k1, plus_only=last))
    if settings.kind == "wigner":
        per_order: list[Weight] = list(weights)
        terms = [w * invariant_of(powers[1:], nu) for nu, w in enumerate(weights) if nu > 0]
        return Mixture(torch.stack(terms).sum(0), _slope(powers, per_order), powers, per_order, None)
    nu, zeta, w = settings.max_nu, settings.zeta, weights[1]
    kernel = invariant_of(powers[1:], nu)
    first = w * zeta * kernel ** (zeta - 1)
    alone = _slope(powers, [0.0] * nu + [1.0])
    second = w * zeta * (zeta - 1) * kernel ** max(zeta - 2, 0)
    return Mixture(w * kernel**zeta, first * alone, powers, [0.0] * nu + [first], (second, alone) if zeta > 1 else None)


def slope_derivative(mixture: Mixture, t: Tensor) -> Tensor:
    """Return the derivative of the slope along a change t of k^1: sum_c' d^2F / dk_c dk_c' t_c'.

    Args:
        mixture: of samples [*samples].
        t: [component, *samples, n], n changes of every sample.
    """
    powers = mixture.powers
    n = t.shape[-1]
    factors = powers[1 : max(2, len(powers) - 1)]
    repeated = [powers[0], *(GroupFunction(_repeat(k.values, n), k.max_l, k.backend) for k in factors)]
    change = GroupFunction(t[None].contiguous(), powers[1].max_l, powers[1].backend)
    changes = [change.scaled(0.0), change]  # of the powers
    for nu in range(2, len(powers)):
        last = nu == len(powers) - 1
        through = changes[-1].product(repeated[1], plus_only=last)
        changes.append(through + (through if nu == 2 else repeated[nu - 1].product(change, plus_only=last)))
    out = torch.zeros_like(t)
    for nu, weight in enumerate(mixture.weights):
        if nu < 2 or (isinstance(weight, float) and weight == 0.0):
            continue
        w = weight if isinstance(weight, float) else weight[..., None]
        total = min(nu, 4) * changes[nu - 1].values[0]
        for j in range(2, nu - 2):  # orders from 5: the inner products of powers do not collapse
            total = total + _product_change(repeated, changes, j, nu - 1 - j)
        out += w * total
    out /= _degeneracy(t, powers[1].max_l)
    if mixture.curvature is not None:
        second, alone = mixture.curvature
        along = torch.einsum("c...,c...n->...n", alone, t)
        out += (second[..., None] * along)[None] * alone[..., None]
    return out


def _product_change(powers: list[GroupFunction], changes: list[GroupFunction], i: int, j: int) -> Tensor:
    """Return the sigma = +1 part of d(f^i f^j)."""
    return (
        changes[i].product(powers[j], plus_only=True).values[0]
        + powers[i].product(changes[j], plus_only=True).values[0]
    )


def _slope(powers: list[GroupFunction], weights: Sequence[Weight]) -> Tensor:
    """Return sum_nu w_nu sum_j P(f^j f^(nu-1-j)) / (2l + 1), sigma = +1 [component, *samples]."""
    out = torch.zeros_like(powers[1].values[0])
    for nu, weight in enumerate(weights):
        if nu == 0 or (isinstance(weight, float) and weight == 0.0):
            continue
        total = min(nu, 4) * powers[nu - 1].values[0]  # j = 0, 1, nu - 2, nu - 1 give f^(nu-1) itself
        for j in range(2, nu - 2):
            total = total + powers[j].product(powers[nu - 1 - j], plus_only=True).values[0]
        out += weight * total
    return out / _degeneracy(out, powers[1].max_l)


def _degeneracy(like: Tensor, max_l: int) -> Tensor:
    """Return 2l + 1 of every component, shaped to divide an array [component, ...]."""
    weight = 2 * torch.tensor(l_of_component(max_l), dtype=like.dtype) + 1
    return weight.view(-1, *[1] * (like.ndim - 1))


def _repeat(values: Tensor, n: int) -> Tensor:
    return values[..., None].expand(*values.shape, n).contiguous()


def contract_right(slope: Tensor, c_j: Tensor, max_l: int) -> Tensor:
    """Return sum_{j m'} slope_{l m m'}(i, j) c_j[l m', q]: the pull on the density of i [i, lm, q]."""
    parts = []
    for l in range(max_l + 1):
        m = 2 * l + 1
        block = slope[component_slice(l)].unflatten(0, (m, m)).permute(2, 0, 3, 1)  # [i, m, j, m']
        density = c_j[:, l * l : (l + 1) ** 2]
        parts.append((block.flatten(0, 1).flatten(1) @ density.flatten(0, 1)).unflatten(0, (-1, m)))
    return torch.cat(parts, 1)


def contract_each(slope: Tensor, c_j: Tensor, max_l: int) -> Tensor:
    """Return sum_{m'} slope_{l m m'}(i, j) c_j[l m', q] for every pair [j, i, lm, q]."""
    n_i, n_j = slope.shape[1:]
    out = c_j.new_empty((n_j, n_i, (max_l + 1) ** 2, c_j.shape[2]))
    for l in range(max_l + 1):
        m = 2 * l + 1
        block = slope[component_slice(l)].unflatten(0, (m, m)).permute(3, 2, 0, 1).reshape(n_j, n_i * m, m)
        out[:, :, l * l : (l + 1) ** 2] = (block @ c_j[:, l * l : (l + 1) ** 2]).unflatten(1, (n_i, m))
    return out
