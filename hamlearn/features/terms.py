"""Features that are multiplied out for a fit, or contracted with weights at once for a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from hamlearn.angular.clebsch_gordan import clebsch_gordan


@cache
def _coupling(l1: int, l2: int, L: int) -> Tensor:
    return torch.from_numpy(clebsch_gordan(l1, l2, L).copy())


class Term(Protocol):
    """Some features of one symmetry (L, sigma)."""

    @property
    def n_features(self) -> int:
        """Number of features."""

    def tensor(self) -> Tensor:
        """Return all features [sample, 2L+1, feature]."""

    def project(self, weights: Tensor) -> Tensor:
        """Return ``tensor() @ weights`` [sample, 2L+1, t] for weights [feature, t], without making the tensor."""


@dataclass(frozen=True)
class Plain:
    """Features that are there already [sample, 2L+1, feature]."""

    values: Tensor

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.values.shape[2]

    def tensor(self) -> Tensor:
        """Return them."""
        return self.values

    def project(self, weights: Tensor) -> Tensor:
        """Return ``values @ weights``."""
        return self.values @ weights


@dataclass(frozen=True)
class Coupled:
    """sum_{m1 m2} C^{l1 l2 L}[m1, m2, M] a[m1, p] b[m2, q] for all features p (slowest) and q.

    Attributes:
        a: [sample, 2 l1 + 1, p].
        b: [sample, 2 l2 + 1, q].
        L: resulting angular momentum.
    """

    a: Tensor
    b: Tensor
    L: int

    @property
    def n_features(self) -> int:
        """Number of products."""
        return self.a.shape[2] * self.b.shape[2]

    @property
    def _c(self) -> Tensor:
        return _coupling((self.a.shape[1] - 1) // 2, (self.b.shape[1] - 1) // 2, self.L).to(self.a)

    def tensor(self) -> Tensor:
        """Multiply out, with the coefficients folded into the factor that has fewer features."""
        a, b, M = self.a, self.b, 2 * self.L + 1
        n, p, q = len(a), a.shape[2], b.shape[2]
        if p < q:
            folded = torch.einsum("sap,abM->sMpb", a, self._c).reshape(n, M * p, b.shape[1])
            return (folded @ b).reshape(n, M, p * q)
        folded = torch.einsum("sbq,abM->saMq", b, self._c).reshape(n, a.shape[1], M * q)
        product = a.transpose(1, 2) @ folded  # [sample, p, M q]
        return product.reshape(n, p, M, q).transpose(1, 2).reshape(n, M, p * q)

    def project(self, weights: Tensor) -> Tensor:
        """Contract a with the weights, then with b, then couple."""
        a, b, t = self.a, self.b, weights.shape[1]
        n, p, q = len(a), a.shape[2], b.shape[2]
        mixed = a.reshape(-1, p) @ weights.reshape(p, q * t)  # [sample m1, q t]
        mixed = mixed.reshape(n, a.shape[1], q, t).transpose(1, 2).reshape(n, q, a.shape[1] * t)
        pairs = (b @ mixed).reshape(n, b.shape[1] * a.shape[1], t)  # [sample, m2 m1, t]
        c = self._c.permute(2, 1, 0).reshape(2 * self.L + 1, -1)  # [M, m2 m1]
        return c @ pairs


@dataclass(frozen=True)
class SelfCoupled:
    """The distinct products of the features of one irrep with each other, sqrt 2 times those of unlike features.

    a_p a_q and a_q a_p differ by the sign (-1)^L: only p <= q is kept, and for odd L only p < q.
    """

    a: Tensor
    L: int

    @property
    def _kept(self) -> tuple[Tensor, Tensor]:
        """Places among all p x q products, and their weights."""
        q = self.a.shape[2]
        rows, columns = torch.triu_indices(q, q, offset=self.L % 2)
        return rows * q + columns, (2.0 - (rows == columns).to(self.a.dtype)).sqrt()

    @property
    def n_features(self) -> int:
        """Number of distinct products."""
        return len(self._kept[0])

    def tensor(self) -> Tensor:
        """Multiply out."""
        places, factors = self._kept
        return Coupled(self.a, self.a, self.L).tensor()[:, :, places] * factors

    def project(self, weights: Tensor) -> Tensor:
        """Spread the weights over all products and contract."""
        places, factors = self._kept
        spread = weights.new_zeros((self.a.shape[2] ** 2, weights.shape[1]))
        spread[places] = factors[:, None] * weights
        return Coupled(self.a, self.a, self.L).project(spread)


@dataclass(frozen=True)
class Terms:
    """All features of one symmetry, side by side; none is fine.

    Attributes:
        parts: the terms, in order.
        like: anything of as many samples, for shape, dtype and device [sample, ...].
        L: angular momentum.
    """

    parts: Sequence[Term]
    like: Tensor
    L: int

    @property
    def n_features(self) -> int:
        """Number of features of all terms."""
        return sum(part.n_features for part in self.parts)

    def tensor(self) -> Tensor:
        """Return all features [sample, 2L+1, feature]."""
        made = [part.tensor() for part in self.parts if part.n_features]
        return torch.cat(made, dim=2) if made else self.like.new_zeros((len(self.like), 2 * self.L + 1, 0))

    def project(self, weights: Tensor) -> Tensor:
        """Return ``tensor() @ weights`` [sample, 2L+1, t] for weights [feature, t]."""
        out = self.like.new_zeros((len(self.like), 2 * self.L + 1, weights.shape[1]))
        start = 0
        for part in self.parts:
            if part.n_features:
                out = out + part.project(weights[start : start + part.n_features])
                start += part.n_features
        return out
