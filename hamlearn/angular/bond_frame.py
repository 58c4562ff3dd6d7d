"""Frames whose z axis is a bond: in them an equivariant of a pair falls apart into components of O(2)."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.harmonics import spherical_harmonics


def bond_frames(vectors: Tensor) -> Tensor:
    """Return proper rotations Q with Q r = (0, 0, |r|) [pair, 3, 3]; rows are the axes x, y, z.

    x lies in the plane of r and the axis of the laboratory least along it. Where that changes, frames jump by a roll
    about the bond, which nothing that is made in them may depend on.

    Args:
        vectors: r [pair, 3], not zero.

    """
    z = vectors / torch.linalg.norm(vectors, dim=1, keepdim=True)
    least = z.detach().abs().argmin(dim=1)
    along = torch.eye(3, dtype=z.dtype, device=z.device)[least]
    x = along - (along * z).sum(dim=1, keepdim=True) * z
    x = x / torch.linalg.norm(x, dim=1, keepdim=True)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=1)


def rotations_of(frames: Tensor, max_l: int) -> list[Tensor]:
    """Return D^l(Q) with Y_l(Q v) = D^l(Q) Y_l(v) for l = 0 ... max_l, each [pair, 2l+1, 2l+1].

    Args:
        frames: Q [pair, 3, 3].
        max_l: largest l.
    """
    points, inverse = _points(max_l)
    turned = points.to(frames) @ frames.transpose(1, 2)  # [pair, point, 3]
    y = spherical_harmonics(turned.flatten(0, 1), max_l).unflatten(0, turned.shape[:2])
    by_l = [slice(l * l, (l + 1) ** 2) for l in range(max_l + 1)]
    return [y[:, :, own].transpose(1, 2) @ inverse[own].T.to(frames) for own in by_l]


@cache
def _points(max_l: int) -> tuple[Tensor, Tensor]:
    """Return directions spread over the sphere [point, 3], and the inverse of every Y_l at them [lm, point]."""
    n = 4 * max_l + 2
    z = (2 * np.arange(n) + 1) / n - 1
    angle = np.pi * (3 - 5**0.5) * np.arange(n)
    radius = np.sqrt(1 - z**2)
    with torch.inference_mode(False):  # whoever asks first, derivatives may be asked for later
        points = torch.from_numpy(np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1))
        y = spherical_harmonics(points, max_l).numpy()
        inverse = [np.linalg.pinv(y[:, l * l : (l + 1) ** 2]) for l in range(max_l + 1)]
        return points, torch.from_numpy(np.concatenate(inverse))
