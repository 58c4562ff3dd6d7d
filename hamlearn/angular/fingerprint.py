"""Numbers that pin down the conventions a model was made with."""

from __future__ import annotations

import numpy as np
import torch

from hamlearn.angular.clebsch_gordan import clebsch_gordan
from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.types import FloatArray


def convention_fingerprint(max_l: int) -> FloatArray:
    """Return harmonics of one direction and all couplings that lead to L <= 4: orders, signs and norms show in them."""
    direction = torch.tensor([[0.3, -0.5, 0.7]], dtype=torch.float64)
    ls = range(max_l + 1)
    couplings = [
        clebsch_gordan(l1, l2, L).sum(axis=(0, 1)) * (1 + l1) + clebsch_gordan(l1, l2, L)[0, -1] * (1 + l2)
        for l1 in ls
        for l2 in ls
        for L in range(abs(l1 - l2), min(l1 + l2, 4) + 1)
    ]
    return np.concatenate([spherical_harmonics(direction, max_l).numpy().ravel(), *couplings])
