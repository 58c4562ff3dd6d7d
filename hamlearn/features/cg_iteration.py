"""The one Clebsch-Gordan iteration from which every feature is made."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor

from hamlearn.angular.clebsch_gordan import clebsch_gordan

Irrep = tuple[int, int]
"""(L, sigma): under R in O(3), A -> s D^L(R) A with s = 1 for proper and sigma for improper R."""

Equivariants = dict[Irrep, Tensor]
"""For each (L, sigma) a tensor [sample, 2L+1, feature]; all with the same samples."""


@cache
def _coupling(l1: int, l2: int, L: int) -> Tensor:
    return torch.from_numpy(clebsch_gordan(l1, l2, L).copy())


def couple(a: Tensor, b: Tensor, L: int) -> Tensor:
    """Return sum_{m1 m2} C^{l1 l2 L}[m1, m2, M] a[m1, p] b[m2, q] for all features p, q.

    Args:
        a: [sample, 2 l1 + 1, p].
        b: [sample, 2 l2 + 1, q].
        L: resulting angular momentum.

    Returns:
        [sample, 2L+1, p x q], p slowest.
    """
    c = _coupling((a.shape[1] - 1) // 2, (b.shape[1] - 1) // 2, L)
    n, p, q = len(a), a.shape[2], b.shape[2]
    if p < q:  # fold the coefficients into the factor with fewer features
        folded = torch.einsum("sap,abM->sMpb", a, c).reshape(n, (2 * L + 1) * p, b.shape[1])
        return (folded @ b).reshape(n, 2 * L + 1, p * q)
    folded = torch.einsum("sbq,abM->saMq", b, c).reshape(n, a.shape[1], (2 * L + 1) * q)
    product = a.transpose(1, 2) @ folded  # [sample, p, M q]
    return product.reshape(n, p, 2 * L + 1, q).transpose(1, 2).reshape(n, 2 * L + 1, p * q)


def _couples(first: Irrep, second: Irrep, result: Irrep) -> bool:
    (l1, s1), (l2, s2), (L, sigma) = first, second, result
    return abs(l1 - l2) <= L <= l1 + l2 and s1 * s2 * (-1) ** (l1 + l2 + L) == sigma


def cg_product(a: Equivariants, b: Equivariants, wanted: Iterable[Irrep]) -> Equivariants:
    """Return all products of a and b of the wanted symmetries; an irrep nothing couples to has zero features.

    (l1, s1) x (l2, s2) -> (L, s1 s2 (-1)^(l1 + l2 + L)).

    Source: Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eq. 13.
    """
    out = {}
    for irrep in wanted:
        parts = [
            couple(x, y, irrep[0])
            for first, x in a.items()
            for second, y in b.items()
            if _couples(first, second, irrep)
        ]
        out[irrep] = concatenate(parts, irrep[0], like=next(iter(a.values())))
    return out


def cg_square(a: Equivariants, wanted: Iterable[Irrep]) -> Equivariants:
    """Return the products of a with itself, each once, weighted so that scalar products equal those of the full set.

    a_p a_q and a_q a_p differ by a sign at most: only p <= q is kept, sqrt 2 times if p != q; for odd L the product
    of a feature with itself vanishes.
    """
    keys = sorted(a)
    out = {}
    for irrep in wanted:
        parts = []
        for position, first in enumerate(keys):
            if _couples(first, first, irrep):
                parts.append(_self_product(a[first], irrep[0]))
            parts += [
                2**0.5 * couple(a[first], a[second], irrep[0])
                for second in keys[position + 1 :]
                if _couples(first, second, irrep)
            ]
        out[irrep] = concatenate(parts, irrep[0], like=next(iter(a.values())))
    return out


def _self_product(a: Tensor, L: int) -> Tensor:
    """Return the distinct products of features of one irrep [sample, 2L+1, q (q +- 1) / 2]."""
    q = a.shape[2]
    rows, columns = torch.triu_indices(q, q, offset=L % 2)
    weight = (2.0 - (rows == columns).to(a.dtype)).sqrt()
    return couple(a, a, L)[:, :, rows * q + columns] * weight


def concatenate(parts: list[Tensor], L: int, like: Tensor) -> Tensor:
    """Join features of one irrep along the last axis; no parts give zero features."""
    kept = [part for part in parts if part.shape[2]]
    return torch.cat(kept, dim=2) if kept else like.new_zeros((len(like), 2 * L + 1, 0))
