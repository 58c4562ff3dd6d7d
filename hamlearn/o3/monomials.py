"""Monomials of variables that carry charges of O(2): N-centre features of any order, as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from hamlearn.o3.monomial_levels import Key, Variables, levels_of
from hamlearn.types import BoolArray, FloatArray, IntArray

# monomials times rows that are evaluated at once
HELD_IN_CACHE = 2**18
HELD_ON_DEVICE = 2**26


class MonomialTree:
    """x_1^n_1 z_2^n_2 conj(z_3)^n_3 ... of total degree 1 to d, and of a few charges M >= 0.

    Each is divided by prod (n!)^(1/2). With real variables x / ell and complex ones z / (2^(1/2) ell), scalar products
    of all of them add up to those terms of exp(<x, x'> / ell^2) truncated at degree d that have charge M. Kept are
    those whose prior variance, the product of the variances of all factors over prod n!, reaches a threshold: the
    importance rule of NICE. At M = 0 a monomial and its conjugate stand once: the real part among the even features
    (0, 1), the imaginary part among the odd ones (0, -1), both times 2^(1/2); monomials that are their own conjugates
    are even as they stand.

    Args:
        variables: which there are.
        charges: M of the features that are wanted.
        degree: d.
        threshold: least prior variance of a feature.
        most: monomials kept of each charge, those of the largest prior variance, the first in the tree of equal ones.

    Rolling the frame multiplies features of charge M by exp(i M phi), its mirror conjugates them.

    Source: Nigam, Pozdnyakov, Ceriotti, J. Chem. Phys. 153, 121101 (2020), with products of charges for couplings.
    """

    def __init__(
        self, variables: Variables, charges: Sequence[int], degree: int, threshold: float, most: int | None = None
    ) -> None:
        if degree < 1:
            raise ValueError(f"monomials of degree 1 to {degree}; take a degree of 1 or more")
        self.variables, self.degree = variables, degree
        self.keys: tuple[Key, ...] = tuple(key for M in charges for key in (((0, 1), (0, -1)) if M == 0 else ((M, 0),)))
        self.levels = levels_of(variables, self.keys, degree, threshold, most)
        self._on_device: dict[torch.device, list[tuple[Tensor, Tensor, dict[Key, tuple[Tensor, Tensor]]]]] = {}

    def n_features(self, key: Key) -> int:
        """Return the number of features of a key."""
        return sum(len(level.chosen[key].monomial) for level in self.levels)

    @property
    def self_conjugate(self) -> BoolArray:
        """Which of the features (0, 1) have no partner among (0, -1), the others being in the same order [feature]."""
        return np.concatenate([np.zeros(0, dtype=bool), *(level.chosen[0, 1].self_conjugate for level in self.levels)])

    def factors(self, key: Key) -> tuple[IntArray, FloatArray]:
        """Return the variables in every feature, -1 behind the last one [feature, degree], and its coefficient."""
        full = np.full((1, self.degree), -1)
        parts, coefficients = [full[:0]], [np.zeros(0)]
        for k, level in enumerate(self.levels):
            full = full[level.parent]
            full[:, k] = level.variable
            parts.append(full[level.chosen[key].monomial])
            coefficients.append(level.chosen[key].coefficient)
        return np.concatenate(parts), np.concatenate(coefficients)

    def features(self, components: Tensor) -> dict[Key, Tensor]:
        """Return the features of every key [feature, row], real at charge 0, complex otherwise.

        Args:
            components: real parts of all variables, then imaginary parts of the complex ones, without conjugates
                [part, row]; any device, float32 or float64.

        Raises:
            ValueError: if there are more or fewer parts than those of the variables.
        """
        if torch.is_grad_enabled() and components.requires_grad:
            levels = list(self.by_degree(components))
            return {key: torch.cat([level[key] for level in levels]) for key in self.keys}
        self.variables.check(components)
        shapes = {key: (self.n_features(key), components.shape[1]) for key in self.keys}
        dtypes = {key: components.dtype.to_complex() if key[0] else components.dtype for key in self.keys}
        out = {key: components.new_empty(shapes[key], dtype=dtypes[key]) for key in self.keys}
        rows = self.rows_at_once(components)
        for start in range(0, components.shape[1], rows):
            ends = dict.fromkeys(self.keys, 0)
            for level in self.by_degree(components[:, start : start + rows]):
                for key, values in level.items():
                    out[key][ends[key] : ends[key] + len(values), start : start + rows] = values
                    ends[key] += len(values)
        return out

    def rows_at_once(self, components: Tensor) -> int:
        """Return for how many rows all monomials stay in the cache, or in a part of the memory of another device."""
        held = HELD_IN_CACHE if components.device.type == "cpu" else HELD_ON_DEVICE
        return max(8, held // max(1, sum(len(level.parent) for level in self.levels)))

    def by_degree(self, components: Tensor) -> Iterator[dict[Key, Tensor]]:
        """Yield the features of every key as :meth:`features` returns them, degree after degree."""
        every = self.variables.complex_values(components)
        above = every.new_ones((1, every.shape[1]))
        for parent, variable, chosen in self._tensors(components.device):
            above = above[parent] * every[variable]
            yield {
                key: _part(key, above[monomial]) * coefficient.to(components.dtype)
                for key, (monomial, coefficient) in chosen.items()
            }

    def _tensors(self, device: torch.device) -> list[tuple[Tensor, Tensor, dict[Key, tuple[Tensor, Tensor]]]]:
        """Return the levels as tensors, made once for every device."""
        if device not in self._on_device:

            def tensor(array: IntArray | FloatArray) -> Tensor:
                return torch.from_numpy(array).to(device)

            self._on_device[device] = [
                (
                    tensor(level.parent),
                    tensor(level.variable),
                    {key: (tensor(c.monomial), tensor(c.coefficient)[:, None]) for key, c in level.chosen.items()},
                )
                for level in self.levels
            ]
        return self._on_device[device]


def _part(key: Key, values: Tensor) -> Tensor:
    """Return what a key takes of complex monomials."""
    return values if key[0] else values.real if key[1] == 1 else values.imag
