"""The mixture of kernel orders with the smallest cross-validated error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hamlearn.config import KernelSettings, ModelSettings
from hamlearn.kernels.mixtures import mixture_weights
from hamlearn.models.hyperparameters import grid_mixture, optimise_mixture

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

COARSE = ((0.0, 2.0, 4.0, 6.0, 8.0), (0.05, 0.2, 0.8, 3.0, 12.0), (0.0, 3.0))
"""log10 a, b and log10 c0, for densities of norm 1 on average and data of spread 1; a finer grid follows around the
best. A larger a would leave no digits to uncertainties and forces, a larger c0 none to the other orders; the baseline
has taken most of what c0 is for."""
FINER = ((-1.0, -0.5, 0.0, 0.5, 1.0), (0.5, 0.7, 1.0, 1.4, 2.0), (-1.5, 0.0, 1.5))
"""Added to log10 a, factors of b, added to log10 c0."""
BOUNDS = ((0.0, 9.0), (0.02, 30.0), (0.0, 5.0))
NARROW = 1e-9
"""Width of the interval in which the annealer looks for a value that is given."""


@dataclass(frozen=True)
class MixtureFit:
    """The best mixture: hyperparameters, weights of the parts [n_parts], cross-validated error in tolerances."""

    a: float
    b: float
    c0: float
    weights: FloatArray
    error: float


def search_mixture(
    parts: FloatArray,
    y: FloatArray,
    variance: FloatArray,
    kernel: KernelSettings,
    model: ModelSettings,
    folds: Sequence[IntArray],
) -> MixtureFit:
    """Return the mixture c0 k^0 + a sum_nu b^nu / nu! k^nu that predicts folds left out best, with regulariser 1.

    What the settings give is kept. A single order has b = 1, tensors have c0 = 0.

    Args:
        parts: kernels of the data, order by order [n_parts, row, row].
        y: data [row].
        variance: squared tolerances [row], in which errors are counted.
        kernel: a, b and c0 where they are given.
        model: how to search, and which error counts.
        folds: rows left out together.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), appendix E.
    """
    if not (variance == 1.0).all():
        tolerance = np.sqrt(variance)
        parts, y = parts / (tolerance[:, None] * tolerance), y / tolerance
    if kernel.c0 == 0.0:
        parts = np.concatenate([np.zeros_like(parts[:1]), parts[1:]])
    constant = parts[0].any()
    given = [
        None if kernel.a is None else float(np.log10(kernel.a)),
        1.0 if len(parts) == 2 else kernel.b,
        (None if kernel.c0 is None else float(np.log10(kernel.c0))) if constant else 0.0,
    ]
    if model.optimise == "annealing":
        bounds = [limits if v is None else (v, v + NARROW) for limits, v in zip(BOUNDS, given, strict=True)]
        best = optimise_mixture(parts, y, folds, loss=model.loss, bounds=bounds, start=[lo for lo, _ in bounds])
    else:
        best = grid_mixture(parts, y, folds, 1.0, model.loss, *_axes(COARSE, given))
        log10_a, log10_c0 = np.log10(best.a), np.log10(best.c0)
        around = [[log10_a + x for x in FINER[0]], [best.b * x for x in FINER[1]], [log10_c0 + x for x in FINER[2]]]
        best = grid_mixture(parts, y, folds, 1.0, model.loss, *_axes(around, given))
    c0 = best.c0 if constant else 0.0
    return MixtureFit(best.a, best.b, c0, mixture_weights(best.a, best.b, c0, len(parts) - 1), best.loss)


def _axes(axes: Sequence[Sequence[float]], given: Sequence[float | None]) -> list[tuple[float, ...]]:
    return [tuple(axis) if value is None else (value,) for axis, value in zip(axes, given, strict=True)]
