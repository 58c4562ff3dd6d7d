"""A function on O(3) for every pair of samples: the object all kernels of this room are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import factorial
from typing import Literal

import torch
from torch import Tensor

from hamlearn.display import Shown
from hamlearn.o3 import grid
from hamlearn.o3.compiled import apply_table, inner_table, is_compiled, product_table
from hamlearn.o3.layout import component_slice, l_of_component, n_components

Backend = Literal["auto", "compiled", "grid"]
LARGEST_COMPILED_L = 6  # the sparse loop grows as L^5.8, the dense grid as L^4.6


@dataclass(frozen=True, eq=False, repr=False)
class GroupFunction(Shown):
    """f(R) = sum_{l sigma} sum_{mm'} k^{l sigma}_{mm'} D^{l sigma}_{mm'}(R) on O(3), one for every sample.

    For the kernel of densities f_ii'(R) = <rho_i | R rho_i'>, and k^{l sigma}(S i, S' i') = D(S) k D(S')^T for proper
    and improper S, S'. Products of functions are pointwise; ``*`` truncates them to l <= max_l.

    Attributes:
        values: k [n_sigma, component, *samples]; sigma = +1 first, the only one of a density kernel; components as in
            :mod:`hamlearn.o3.layout`.
        max_l: largest l.
        backend: of products: compiled loop, torch grid, or the faster one for the size, dtype and device at hand.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), eq. 6 and appendix A.
    """

    values: Tensor
    max_l: int
    backend: Backend = "auto"

    @property
    def samples(self) -> torch.Size:
        """Shape of the samples."""
        return self.values.shape[2:]

    @property
    def flat(self) -> Tensor:
        """Coefficients as a matrix [n_sigma x component, sample]."""
        return self.values.reshape(self.values.shape[0] * self.values.shape[1], -1)

    def coefficients(self, L: int, sigma: int = 1) -> Tensor:
        """Return k^{L sigma}_{MM'} [*samples, 2L+1, 2L+1], a view."""
        m = 2 * L + 1
        s = 0 if sigma == 1 else 1
        if s == len(self.values):
            return self.values.new_zeros(()).expand(*self.samples, m, m)
        return self.values[s, component_slice(L)].unflatten(0, (m, m)).movedim((0, 1), (-2, -1))

    def mean(self) -> Tensor:
        """Return the mean over O(3) [*samples], the invariant kernel."""
        return self.values[0, 0]

    def inner(self, other: GroupFunction) -> Tensor:
        """Return the mean over O(3) of f g = sum k_f k_g / (2l + 1) [*samples], without making the product."""
        n_sigma = min(len(self.values), len(other.values))
        max_l = min(self.max_l, other.max_l)
        n = n_components(max_l)
        a, b = self.values[:n_sigma, :n], other.values[:n_sigma, :n]
        if self._compiled(other):
            table = inner_table(max_l, n_sigma)
            flat = apply_table(table, a.reshape(n_sigma * n, -1).numpy(), b.reshape(n_sigma * n, -1).numpy())
            return torch.from_numpy(flat).view(self.samples)
        weight = 1.0 / (2 * torch.tensor(l_of_component(max_l), dtype=a.dtype, device=a.device) + 1)
        return torch.tensordot(weight, (a * b).sum(0), dims=1)

    def product(self, other: GroupFunction, max_l: int | None = None, plus_only: bool = False) -> GroupFunction:
        """Return the pointwise product, projected on l <= max_l.

        Args:
            other: function of the same samples.
            max_l: largest l kept, the larger one of the factors by default.
            plus_only: keep sigma = +1 only.
        """
        max_l = max(self.max_l, other.max_l) if max_l is None else max_l
        if self._compiled(other):
            sizes = (self.max_l, other.max_l, max_l)
            table = product_table(sizes, (len(self.values), len(other.values)), other is self, plus_only)
            left = self.flat.numpy()
            flat = torch.from_numpy(apply_table(table, left, left if other is self else other.flat.numpy()))
        else:
            a = self.values.flatten(2)
            b = a if other is self else other.values.flatten(2)
            flat = grid.multiply(a, b, (self.max_l, other.max_l, max_l), plus_only)
        shape = (1 if plus_only else 2, n_components(max_l), *self.samples)
        return replace(self, values=flat.view(shape), max_l=max_l)

    def product_irrep(self, other: GroupFunction, L: int, sigma: int) -> Tensor:
        """Return only k^{L sigma}_{MM'} of the product [2L+1, 2L+1, *samples]."""
        m = 2 * L + 1
        if self.max_l + other.max_l < L:
            return self.values.new_zeros((m, m, *self.samples))
        if self._compiled(other):
            sizes, n_sigma = (self.max_l, other.max_l, L), (len(self.values), len(other.values))
            table = product_table(sizes, n_sigma, other is self, irrep=(L, sigma))
            a = self.flat.numpy()
            flat = torch.from_numpy(apply_table(table, a, a if other is self else other.flat.numpy()))
            return flat.view(m, m, *self.samples)
        return self.product(other, max(L, self.max_l)).coefficients(L, sigma).movedim((-2, -1), (0, 1))

    def __mul__(self, other: GroupFunction) -> GroupFunction:
        """Return the product truncated to the larger max_l of the factors."""
        return self.product(other)

    def __add__(self, other: GroupFunction) -> GroupFunction:
        """Return the sum."""
        if self.max_l != other.max_l:
            raise ValueError(f"cannot add functions of max_l {self.max_l} and {other.max_l}")
        small, large = sorted((self.values, other.values), key=len)
        total = large.clone()
        total[: len(small)] += small
        return replace(self, values=total)

    def scaled(self, factor: float | Tensor) -> GroupFunction:
        """Return factor f, one number or one per sample [*samples]."""
        return replace(self, values=self.values * factor)

    def identity(self) -> GroupFunction:
        """Return the function that is 1 for every sample."""
        values = torch.zeros_like(self.values[:1])
        values[0, 0] = 1.0
        return replace(self, values=values)

    def power(self, nu: int) -> GroupFunction:
        """Return f^nu by repeated products, each truncated to l <= max_l; 1 for nu = 0."""
        if nu == 0:
            return self.identity()
        return self.powers(nu)[-1]

    def polynomial(self, coefficients: Sequence[float]) -> GroupFunction:
        """Return sum_nu coefficients[nu] f^nu, every product truncated to l <= max_l (Horner's scheme)."""
        out = self.identity().scaled(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            out = out * self + self.identity().scaled(c)
        return out

    def exponential(self, order: int = 6, squarings: int = 4) -> GroupFunction:
        """Return exp(f) by a Taylor series of f / 2^squarings, squared ``squarings`` times, all truncated."""
        scaled = self.scaled(0.5**squarings)
        out = scaled.polynomial([1 / factorial(n) for n in range(order + 1)])
        for _ in range(squarings):
            out = out * out
        return out

    def pointwise(self, function: Callable[[Tensor], Tensor], degree: int, max_l: int | None = None) -> GroupFunction:
        """Return function(f(R)) projected on l <= max_l, with no truncation in between.

        Exact if function is a polynomial of order p and degree >= p self.max_l + max_l; converges with the degree
        for any smooth function.
        """
        max_l = self.max_l if max_l is None else max_l
        (flat,) = grid.pointwise(self.values.flatten(2), [function], (self.max_l, max_l), degree)
        return replace(self, values=flat.unflatten(2, self.samples), max_l=max_l)

    def exact_powers(self, max_nu: int) -> list[GroupFunction]:
        """Return f^1 ... f^max_nu projected on l <= max_l, with no truncation in between."""
        degree = (max_nu + 1) * self.max_l
        functions = [partial(torch.pow, exponent=nu) for nu in range(2, max_nu + 1)]
        higher = grid.pointwise(self.values.flatten(2), functions, (self.max_l, self.max_l), degree)
        return [self, *(replace(self, values=k.unflatten(2, self.samples)) for k in higher)]

    def powers(self, max_nu: int) -> list[GroupFunction]:
        """Return f^1 ... f^max_nu, f^(nu+1) = f^nu f with every product truncated to l <= max_l."""
        if self._compiled(self) or max_nu < 2:
            out = [self]
            while len(out) < max_nu:
                out.append(out[-1] * self)
            return out
        higher = grid.powers(self.values.flatten(2), max_nu, self.max_l)
        return [self, *(replace(self, values=k.unflatten(2, self.samples)) for k in higher)]

    def _compiled(self, other: GroupFunction) -> bool:
        """Whether the compiled loop does this product; checks that it has samples in common."""
        if self.samples != other.samples:
            raise ValueError(f"a product of samples {tuple(self.samples)} and {tuple(other.samples)}; give the same")
        tensors = (self.values, other.values)
        able = all(t.device.type == "cpu" and t.dtype == torch.float64 and not t.requires_grad for t in tensors)
        if self.backend == "auto":
            return able and is_compiled() and max(self.max_l, other.max_l) <= LARGEST_COMPILED_L
        if self.backend == "compiled" and not (able and is_compiled()):
            raise ValueError("the compiled back end needs a compiler at installation and float64 on the CPU, no grad")
        return self.backend == "compiled"
