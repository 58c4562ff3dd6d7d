"""The one Clebsch-Gordan iteration from which every feature is made."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from hamlearn.features.terms import Combined, Coupled, SelfCoupled, Term, Terms
from hamlearn.types import Irrep

Equivariants = dict[Irrep, Tensor]
"""For each (L, sigma) a tensor [sample, 2L+1, feature]; all with the same samples."""


def cg_product(a: Equivariants, b: Equivariants, wanted: Iterable[Irrep]) -> Equivariants:
    """Return all products of a and b of the wanted symmetries; an irrep nothing couples to has zero features.

    (l1, s1) x (l2, s2) -> (L, s1 s2 (-1)^(l1 + l2 + L)), so that the products transform as their labels say.

    Args:
        a: factors, the same samples in each tensor.
        b: factors of the same samples.
        wanted: (L, sigma) to make; also higher orders, by calling again with the result.

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eq. 13.
    """
    n = len(next(iter(a.values())))
    return {irrep: Terms(products(a, b, irrep), n, irrep[0]).tensor() for irrep in wanted}


def cg_square(a: Equivariants, wanted: Iterable[Irrep]) -> Equivariants:
    """Return the products of a with itself, each once, weighted so that scalar products equal those of the full set.

    Args:
        a: factors, the same samples in each tensor.
        wanted: (L, sigma) to make; they transform as their labels say.
    """
    n = len(next(iter(a.values())))
    return {irrep: Terms(squares(a, irrep), n, irrep[0]).tensor() for irrep in wanted}


def products(a: Equivariants, b: Equivariants, irrep: Irrep) -> list[Term]:
    """Return the couplings of a and b to one symmetry, not multiplied out."""
    return [
        Coupled(x, y, irrep[0]) for first, x in a.items() for second, y in b.items() if _couples(first, second, irrep)
    ]


def squares(a: Equivariants, irrep: Irrep) -> list[Term]:
    """Return the distinct couplings of a with itself to one symmetry, not multiplied out."""
    keys = sorted(a)
    out: list[Term] = []
    for position, first in enumerate(keys):
        if _couples(first, first, irrep):
            out.append(SelfCoupled(a[first], irrep[0]))
        out += [
            Combined((2**0.5,), (Coupled(a[first], a[second], irrep[0]),))
            for second in keys[position + 1 :]
            if _couples(first, second, irrep)
        ]
    return out


def _couples(first: Irrep, second: Irrep, result: Irrep) -> bool:
    (l1, s1), (l2, s2), (L, sigma) = first, second, result
    return abs(l1 - l2) <= L <= l1 + l2 and s1 * s2 * (-1) ** (l1 + l2 + L) == sigma
