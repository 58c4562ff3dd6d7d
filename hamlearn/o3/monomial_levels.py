"""Which monomials of variables with charges of O(2) there are: grown degree by degree, chosen by importance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hamlearn.ties import RELATIVE, tied_ranks
from hamlearn.types import BoolArray, FloatArray, IntArray

Key: TypeAlias = tuple[int, int]
"""(0, 1) and (0, -1): charge 0, even and odd under the mirror, real; (M, 0): charge M > 0, complex."""

TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False)
class Variables:
    """Which variables there are: real ones of charge 0, complex ones of charge m > 0 and their conjugates.

    Attributes:
        charges: of every variable, m >= 0, ascending [variable].
        variances: mean squares (absolute for complex ones) of the variables as they are passed [variable].
    """

    charges: IntArray
    variances: FloatArray

    def __post_init__(self) -> None:
        if len(self.charges) != len(self.variances) or (np.diff(self.charges, prepend=0) < 0).any():
            raise ValueError("variables need one variance each, and charges that start at 0 or more and ascend")

    @cached_property
    def n_real(self) -> int:
        """Number of variables of charge 0."""
        return int((self.charges == 0).sum())

    @cached_property
    def n_components(self) -> int:
        """Number of real and imaginary parts."""
        return 2 * len(self.charges) - self.n_real

    @cached_property
    def all_charges(self) -> IntArray:
        """Charges of the variables, then of the conjugates of those that have any."""
        return np.concatenate([self.charges, -self.charges[self.n_real :]])

    @cached_property
    def all_variances(self) -> FloatArray:
        """Variances of the variables, then of the conjugates."""
        return np.concatenate([self.variances, self.variances[self.n_real :]])

    @cached_property
    def conjugate(self) -> IntArray:
        """Position of the conjugate of every variable, itself for real ones."""
        n, n_real = len(self.charges), self.n_real
        complex_ones = np.arange(n_real, n)
        return np.concatenate([np.arange(n_real), complex_ones + n - n_real, complex_ones])

    def check(self, components: Tensor) -> None:
        """Raise ValueError unless these are as many real and imaginary parts as there are [part, row]."""
        if components.ndim != 2 or components.shape[0] != self.n_components:
            raise ValueError(
                f"parts of variables are {tuple(components.shape)}; expected [{self.n_components}, row], real parts of "
                f"all {len(self.charges)} variables, then imaginary parts of those of charge 1 or more"
            )

    def complex_values(self, components: Tensor) -> Tensor:
        """Return the variables, then the conjugates, complex [variable, row]; see :meth:`MonomialTree.features`."""
        self.check(components)
        re, im = components[: len(self.charges)], components[len(self.charges) :]
        im = torch.cat([torch.zeros_like(re[: self.n_real]), im, -im])
        return torch.complex(torch.cat([re, re[self.n_real :]]), im)


@dataclass(frozen=True, eq=False)
class Chosen:
    """Features among the monomials of one degree: where they stand, and what they are multiplied by [feature]."""

    monomial: IntArray
    coefficient: FloatArray
    self_conjugate: BoolArray


@dataclass(frozen=True, eq=False)
class Level:
    """Monomials of one degree, each its parent times one variable of no larger variance.

    Attributes:
        parent: position among those of the degree before [monomial].
        variable: position of the last variable [monomial].
        chosen: the features of every key.
    """

    parent: IntArray
    variable: IntArray
    chosen: dict[Key, Chosen]


def levels_of(
    variables: Variables, keys: Sequence[Key], degree: int, threshold: float, most: int | None
) -> list[Level]:
    """Return the features of some keys and the monomials that lead to them; see :class:`MonomialTree`."""
    charges = sorted({M for M, _ in keys})
    grown = None
    while grown is None:  # only the most important are kept: fewer candidates hold them as well
        grown = _grown(variables, degree, threshold)
        threshold = threshold if grown is not None else STEP * threshold
    partners = [_partners(variables, level) for level in grown]
    wanted = [
        np.isin(level.charge, charges) & (level.importance >= _just_below(threshold)) & (partner >= 0)
        for level, partner in zip(grown, partners, strict=True)
    ]
    if most is not None:
        wanted = _largest(grown, wanted, charges, most)
    return _pruned(grown, wanted, partners, keys)


MOST_CANDIDATES = 4_000_000
"""Monomials of one degree from which features are chosen, about 0.3 GB; beyond, the threshold rises."""

STEP = 3.0
"""By which it does."""


@dataclass(frozen=True, eq=False)
class _Grown:
    """All monomials of one degree before any choice; factors stand in the order of the variances of the variables."""

    parent: IntArray
    factors: NDArray[np.int32]  # [monomial, degree], positions of variables
    charge: IntArray
    importance: FloatArray
    coefficient: FloatArray


def _grown(variables: Variables, degree: int, threshold: float) -> list[_Grown] | None:
    """Return the monomials of every degree whose importance, or that of some multiple, reaches the threshold.

    None if they are more than can be held.
    """
    order = np.lexsort((np.arange(len(variables.all_variances)), _ranks(variables.all_variances)))
    variance = np.minimum.accumulate(np.maximum(variables.all_variances[order], TINY))
    charge = variables.all_charges[order]
    gain = max(1.0, variance.max(initial=0.0))  # at most, for every further factor
    factors = np.zeros((1, 0), dtype=np.int32)
    last, repeats = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    importance, charges, coefficient = np.ones(1), np.zeros(1, dtype=np.int64), np.ones(1)
    out = []
    for k in range(1, degree + 1):
        least = _just_below(threshold) / gain ** (degree - k)
        stop = np.searchsorted(-variance, -least / np.maximum(importance, TINY), side="right")
        count = np.maximum(stop - last, 0)
        if count.sum() > MOST_CANDIDATES:
            return None
        parent = np.repeat(np.arange(len(last)), count)
        new = np.arange(len(parent)) + np.repeat(last + count - np.cumsum(count), count)
        repeats = np.where(new == last[parent], repeats[parent], 0) + 1
        importance = importance[parent] * variance[new] / repeats
        kept = importance >= least
        parent, new, repeats, importance = parent[kept], new[kept], repeats[kept], importance[kept]
        charges, coefficient = charges[parent] + charge[new], coefficient[parent] * repeats**-0.5
        factors, last = np.hstack([factors[parent], order[new, None].astype(np.int32)]), new
        out.append(_Grown(parent, factors, charges, importance, coefficient))
    return out


def _just_below(threshold: float) -> float:
    """Return a threshold that importances equal to it reach whatever their last bits."""
    return threshold * (1 - RELATIVE)


def _ranks(importance: FloatArray) -> IntArray:
    """Return the rank of every importance from the largest, one rank for those equal up to rounding."""
    return tied_ranks(-np.log(np.maximum(importance, TINY)), scale=1.0)


def _partners(variables: Variables, level: _Grown) -> IntArray:
    """Return of monomials of charge 0 whether they are their own conjugates, 0, or come before, 1, or after them, -1.

    Charged ones are all 1.
    """
    out = np.ones(len(level.charge), dtype=np.int64)
    neutral = np.flatnonzero(level.charge == 0)
    own = np.sort(level.factors[neutral], axis=1)
    other = np.sort(variables.conjugate[level.factors[neutral]], axis=1)
    sign = np.zeros(len(neutral), dtype=np.int64)
    for a, b in zip(own.T, other.T, strict=True):
        sign = np.where(sign == 0, np.sign(b - a), sign)
    out[neutral] = sign
    return out


def _largest(
    grown: Sequence[_Grown], wanted: Sequence[BoolArray], charges: Sequence[int], most: int
) -> list[BoolArray]:
    """Return which of the wanted monomials are among the most important of their charge."""
    ends = np.cumsum([len(w) for w in wanted])[:-1]
    every = np.concatenate(wanted)
    charge, importance = (np.concatenate([getattr(g, name) for g in grown]) for name in ("charge", "importance"))
    out = np.zeros_like(every)
    for M in charges:
        own = np.flatnonzero(every & (charge == M))
        out[own[np.argsort(_ranks(importance[own]), kind="stable")[:most]]] = True
    return np.split(out, ends)


def _pruned(
    grown: Sequence[_Grown], wanted: Sequence[BoolArray], partners: Sequence[IntArray], keys: Sequence[Key]
) -> list[Level]:
    """Return the levels without monomials that neither are features nor lead to any."""
    kept = [w.copy() for w in wanted]
    for k in range(len(grown) - 1, 0, -1):
        kept[k - 1][grown[k].parent[kept[k]]] = True
    levels, position = [], np.zeros(1, dtype=np.int64)
    for level, w, stays, partner in zip(grown, wanted, kept, partners, strict=True):
        variable = level.factors[stays, -1].astype(np.int64)
        charge, coefficient = level.charge[stays], level.coefficient[stays]
        itself, feature = (partner == 0)[stays], w[stays]
        chosen = {}
        for key in keys:
            own = np.flatnonzero(feature & (charge == key[0]) & ~(itself & (key == (0, -1))))
            twice = np.where(itself[own], 1.0, 2**0.5) if key[0] == 0 else 1.0
            chosen[key] = Chosen(own, coefficient[own] * twice, itself[own])
        levels.append(Level(position[level.parent[stays]], variable, chosen))
        position = np.cumsum(stays) - 1
    return levels
