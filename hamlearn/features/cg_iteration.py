"""The one Clebsch-Gordan iteration from which every feature is made.

(l1, s1) x (l2, s2) -> (L, s1 s2 (-1)^(l1 + l2 + L)), so that products transform as their labels say.
Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eq. 13.
"""

from __future__ import annotations

from torch import Tensor

from hamlearn.features.terms import Coupled, SelfCoupled, Term
from hamlearn.types import Irrep

Equivariants = dict[Irrep, Tensor]
"""For each (L, sigma) a tensor [sample, 2L+1, feature]; all with the same samples."""


def products(a: Equivariants, b: Equivariants, irrep: Irrep) -> list[Term]:
    """Return the couplings of a and b to one symmetry, not multiplied out."""
    return [
        Coupled(x, y, irrep[0]) for first, x in a.items() for second, y in b.items() if couples(first, second, irrep)
    ]


def squares(a: Equivariants, irrep: Irrep) -> list[Term]:
    """Return the distinct couplings of a with itself to one symmetry, not multiplied out.

    Each stands once, weighted so that scalar products equal those of the full set.
    """
    keys = sorted(a)
    out: list[Term] = []
    for position, first in enumerate(keys):
        if couples(first, first, irrep):
            out.append(SelfCoupled(a[first], irrep[0]))
        out += [
            Coupled(2**0.5 * a[first], a[second], irrep[0])
            for second in keys[position + 1 :]
            if couples(first, second, irrep)
        ]
    return out


def couples(first: Irrep, second: Irrep, result: Irrep) -> bool:
    """Return whether the product of two symmetries holds a third."""
    (l1, s1), (l2, s2), (L, sigma) = first, second, result
    return abs(l1 - l2) <= L <= l1 + l2 and s1 * s2 * (-1) ** (l1 + l2 + L) == sigma
