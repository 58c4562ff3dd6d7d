"""The mixture of kernel orders with the smallest cross-validated error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.config import KernelSettings, ModelSettings
from hamlearn.kernels.mixtures import mixture_weights
from hamlearn.kernels.parts import n_parts
from hamlearn.regression.folds_and_mixtures import cross_validate_mixture, grid_mixture, optimise_mixture
from hamlearn.types import FloatArray, IntArray

COARSE = ((0.0, 2.0, 4.0, 6.0, 8.0), (0.05, 0.2, 0.8, 3.0, 12.0), (0.0, 3.0))
"""log10 a, b and log10 c0, for densities of norm 1 on average and data of spread 1; a finer grid follows around the
best. A larger a would leave no digits to uncertainties and forces, a larger c0 none to the other orders; the baseline
has taken most of what c0 is for."""
FINER = ((-1.0, -0.5, 0.0, 0.5, 1.0), (0.5, 0.7, 1.0, 1.4, 2.0), (-1.5, 0.0, 1.5))
"""Added to log10 a, factors of b, added to log10 c0."""
BOUNDS = ((0.0, 9.0), (0.02, 30.0), (0.0, 5.0))
NARROW = 1e-9
"""Width of the interval in which the annealer looks for a value that is given."""
ADDITIVE = (0.0, *(10.0**k for k in range(-2, 10)))
"""Weights tried of kernels of pairs and triangles."""
REDUCED = tuple(10.0**k for k in range(-8, 2))
"""Factors tried of the orders from 1 beside them."""
ROUNDS = 2


@dataclass(frozen=True)
class MixtureFit:
    """The best mixture: hyperparameters, weights of the parts [part], cross-validated error in tolerances."""

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

    What the settings give is kept. A single order has b = 1, tensors have c0 = 0. Kernels of pairs and triangles get
    their weights afterwards, in turns with the scale of the orders.

    Args:
        parts: kernels of the data, order by order, then those of pairs and triangles [part, row, row].
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
    everything, parts = parts, parts[: n_parts(kernel)]
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
    found = MixtureFit(best.a, best.b, c0, mixture_weights(best.a, best.b, c0, len(parts) - 1), best.loss)
    if len(everything) == len(parts):
        return found
    return _with_additive(found, everything, y, kernel, model, folds)


def _with_additive(
    found: MixtureFit,
    parts: FloatArray,
    y: FloatArray,
    kernel: KernelSettings,
    model: ModelSettings,
    folds: Sequence[IntArray],
) -> MixtureFit:
    """Return the mixture with weights for the parts beyond the orders, found in turns.

    From two starts, the orders as they were found alone and hardly any of them: between them lie worse mixtures.
    """
    n = len(found.weights)
    start = np.concatenate([found.weights, np.zeros(len(parts) - n)])

    def error(weights: FloatArray) -> float:
        return cross_validate_mixture(parts, y, weights.tolist(), folds, loss=model.loss)

    part = np.arange(len(parts))
    orders = (part >= 1) & (part < n)
    turns = [(part == p, np.ones(len(parts)), ADDITIVE) for p in part[n:]]
    starts = [start]
    if kernel.a is None:
        turns.append((orders, start, REDUCED))
        starts.append(np.where(orders, REDUCED[0] * start, start))
    reached = []
    for weights in starts:
        for chosen, unit, factors in ROUNDS * turns:
            weights = min((np.where(chosen, factor * unit, weights) for factor in factors), key=error)
        reached.append(weights)
    best = min(reached, key=error)
    a = found.a * float(best[n - 1] / start[n - 1])
    return MixtureFit(a, found.b, found.c0, best, error(best))


def _axes(axes: Sequence[Sequence[float]], given: Sequence[float | None]) -> list[tuple[float, ...]]:
    return [tuple(axis) if value is None else (value,) for axis, value in zip(axes, given, strict=True)]
