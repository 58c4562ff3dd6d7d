"""Numbers that pin down the conventions a model was made with."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from hamlearn.angular.clebsch_gordan import clebsch_gordan
from hamlearn.angular.harmonics import spherical_harmonics


def convention_fingerprint(max_l: int) -> NDArray[np.float64]:
    """Return harmonics of one direction and a coupling of every l: any change of order, sign or norm changes it."""
    direction = torch.tensor([[0.3, -0.5, 0.7]], dtype=torch.float64)
    couplings = [clebsch_gordan(l, 1, L).ravel() for l in range(max_l + 1) for L in range(abs(l - 1), l + 2)]
    return np.concatenate([spherical_harmonics(direction, max_l).numpy().ravel(), *couplings])
