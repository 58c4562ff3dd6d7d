"""Data-optimal radial functions: principal components of the expansion coefficients."""

from __future__ import annotations

import torch
from torch import Tensor


def optimal_contraction(covariance: Tensor, n: int | None) -> Tensor:
    """Return the leading eigenvectors of sum_im c_nlm c_klm for every l [l, primitive, n].

    Not centred: for l > 0 the mean vanishes by symmetry, and for l = 0 a density must stay a density. Signs are
    fixed (largest component positive), so that equal data give equal functions.

    Args:
        covariance: [l, primitive, primitive].
        n: number of functions kept; None keeps the primitives as they are.
    """
    if n is None:
        return torch.eye(covariance.shape[-1], dtype=covariance.dtype).repeat(len(covariance), 1, 1)
    _, vectors = torch.linalg.eigh(covariance)
    kept = vectors.flip(-1)[:, :, :n]
    largest = kept.gather(1, kept.abs().argmax(dim=1, keepdim=True))
    return (kept * torch.where(largest < 0, -1.0, 1.0)).contiguous()
