"""How uncertain what ridge weights predict is: their Gaussian posterior, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class RidgePosterior:
    """Covariance s^2 alpha (X^T X + alpha)^-1 of the weights of blocks that share features X = U S V^T.

    Weights have the prior covariance s^2, single data the noise s^2 alpha: what the features cannot express. One
    basis serves the alphas of all blocks, and directions that training never saw keep their prior variance.

    Attributes:
        basis: V, orthonormal columns [q, r].
        singular_values: S [r].
        alphas: alpha, absolute [block].
        scales: prior variance s^2 of every block [block].
    """

    basis: Tensor
    singular_values: Tensor
    alphas: Tensor
    scales: Tensor

    def covariances(self, x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """Return s^2 alpha (1 + x (X^T X + alpha)^-1 x^T) of every block of some structures [block, row, row].

        The second term is split into s^2 x_o x_o^T for what lies outside V and s^2 x V alpha / (S^2 + alpha) V^T x^T
        inside: sums of squares, so that small variances are not differences of large ones.

        Args:
            x: features of the rows (sample, M) of all structures, one after the other [row, q].
            sizes: number of rows of each structure.

        Source: Rasmussen, Williams, Gaussian Processes for Machine Learning (2006), eq. 2.8.
        """
        inside = x @ self.basis
        outside = x - inside @ self.basis.T
        left = damping(self.singular_values, self.alphas).sqrt()[:, None]  # [block, 1, r]
        out = []
        for seen, unseen in zip(inside.split(list(sizes)), outside.split(list(sizes)), strict=True):
            scaled = seen * left
            matrices = unseen @ unseen.T + scaled @ scaled.transpose(1, 2)
            matrices.diagonal(dim1=1, dim2=2).add_(self.alphas[:, None])
            out.append(self.scales[:, None, None] * matrices)
        return out


def damping(singular_values: Tensor, alphas: Tensor) -> Tensor:
    """Return alpha / (S^2 + alpha), the fraction of the prior variance that is left [alpha, r]."""
    return alphas[:, None] / (singular_values**2 + alphas[:, None])


def summed_variance(rows: Tensor, v: Tensor, singular_values: Tensor, alphas: Tensor) -> Tensor:
    """Return the summed variance of all rows under a prior variance of 1, for every alpha [alpha].

    Args:
        rows: features of the rows, or a factor of them [k, r].
        v: right singular vectors of the features trained on, orthonormal columns [r, k'].
        singular_values: [k'].
        alphas: absolute [alpha].
    """
    inside = rows @ v
    outside = rows - inside @ v.T
    return (outside**2).sum() + damping(singular_values, alphas) @ (inside**2).sum(dim=0)
