"""The mixture of kernel orders with the smallest cross-validated error, over kernels that are computed once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.linalg import LinAlgError
from scipy.optimize import dual_annealing

from hamlearn.config import KernelRidgeSettings, KernelSettings
from hamlearn.kernels.mixtures import mixture_weights
from hamlearn.kernels.parts import n_parts
from hamlearn.regression.alphas import SingularKernel
from hamlearn.regression.full import RegularisedKernel
from hamlearn.ties import first_of_best
from hamlearn.types import FloatArray, IntArray

Axes = Sequence[Sequence[float]]
"""Values, or the lowest and the highest, of log10 a, b and log10 c0."""

SINGULAR_LOSS = 1e100
"""Loss of hyperparameters for which the kernel cannot be inverted in double precision; finite for the annealer."""

COARSE = ((0.0, 2.0, 4.0, 6.0, 8.0), (0.05, 0.2, 0.8, 3.0, 12.0), (0.0, 3.0))
"""For densities of norm 1 on average and data of spread 1; a finer grid follows around the best. A larger a would leave
no digits to uncertainties and forces, a larger c0 none to the other orders; the baseline has taken most of what c0 is
for."""
FINER = ((-1.0, -0.5, 0.0, 0.5, 1.0), (0.5, 0.7, 1.0, 1.4, 2.0), (-1.5, 0.0, 1.5))
"""Added to log10 a, factors of b, added to log10 c0."""
BOUNDS = ((0.0, 9.0), (0.02, 30.0), (0.0, 5.0))
NARROW = 1e-9
"""Width of the interval in which the annealer looks for a value that is given."""
ANNEALED, SEED = 50, 0
"""Iterations of the annealer, six evaluations each, and its seed."""
ADDITIVE = (0.0, *(10.0**k for k in range(-2, 10)))
"""Weights tried of kernels of pairs and triangles."""
REDUCED = tuple(10.0**k for k in range(-8, 2))
"""Factors tried of the orders from 1 beside them."""
ROUNDS = 2


@dataclass(frozen=True)
class Mixture:
    """The mixture k = c0 k^0 + a sum_nu b^nu / nu! k^nu of smallest cross-validated error.

    Attributes:
        a: weight of all orders but 0.
        b: rate.
        c0: weight of order 0.
        weights: of all parts [part].
        loss: cross-validated error, in units of the data.
    """

    a: float
    b: float
    c0: float
    weights: FloatArray
    loss: float


class MixtureSearch:
    """Cross-validated error of mixtures of kernels that are given once; an evaluation costs one inversion.

    Args:
        parts: kernels of the data with themselves, order by order, then others [part, n, n].
        y: data [n], of tolerance 1: the scale of the mixture decides.
        folds: rows of each fold, left out together.
        loss: root mean squared (rmse) or mean absolute (mae) error.
        n_orders: how many of the parts are orders; all by default.
        constant: whether order 0 takes part.
    """

    def __init__(
        self,
        parts: FloatArray,
        y: FloatArray,
        folds: Sequence[IntArray],
        loss: str = "rmse",
        n_orders: int | None = None,
        constant: bool = True,
    ) -> None:
        self._parts, self._y, self._folds, self._loss = parts.reshape(len(parts), -1), y[:, None], folds, loss
        self._n_orders, self._constant = n_orders or len(parts), constant

    def error(self, weights: FloatArray) -> float:
        """Return the cross-validated error of k = sum_p weights_p k_p, SINGULAR_LOSS if it cannot be inverted."""
        n = len(self._y)
        try:
            kernel = RegularisedKernel((weights @ self._parts).reshape(n, n), 1.0)
            left_out = kernel.residuals(self._y, self._folds)[np.concatenate(self._folds)]
        except LinAlgError:
            return SINGULAR_LOSS
        return float(np.sqrt(np.mean(left_out**2)) if self._loss == "rmse" else np.abs(left_out).mean())

    def on_grid(self, axes: Axes) -> Mixture:
        """Return the best mixture of a grid of log10 a, b and log10 c0.

        Raises:
            SingularKernel: if no mixture can be inverted.
        """
        return self._best((x, self.error(self._mixture(x).weights)) for x in map(np.array, product(*axes)))

    def by_annealing(self, bounds: Axes, max_iterations: int = ANNEALED) -> Mixture:
        """Return the best mixture that dual annealing without local search finds within bounds, from the lowest on.

        Raises:
            SingularKernel: if no mixture can be inverted.
        """
        tried: list[tuple[FloatArray, float]] = []

        def evaluate(x: FloatArray) -> float:
            tried.append((np.array(x), self.error(self._mixture(x).weights)))
            return tried[-1][1]

        start = [low for low, _ in bounds]
        dual_annealing(evaluate, bounds, x0=start, maxiter=max_iterations, no_local_search=True, seed=SEED)
        return self._best(tried)

    def with_others(self, found: Mixture, orders_may_shrink: bool) -> Mixture:
        """Return the mixture with weights for the parts beyond the orders, found in turns with the scale of these.

        From two starts, the orders as they were found alone and hardly any of them: between them lie worse mixtures.
        """
        part, last = np.arange(len(self._parts)), self._n_orders - 1
        orders = (part >= 1) & (part <= last)
        turns = [(part == p, np.ones(len(part)), ADDITIVE) for p in part[last + 1 :]]
        starts = [found.weights]
        if orders_may_shrink:
            turns.append((orders, found.weights, REDUCED))
            starts.append(np.where(orders, REDUCED[0] * found.weights, found.weights))

        def best_of(options: list[FloatArray]) -> FloatArray:
            return options[int(first_of_best(-np.array([self.error(weights) for weights in options])))]

        reached = []
        for weights in starts:
            for chosen, unit, factors in ROUNDS * turns:
                weights = best_of([np.where(chosen, factor * unit, weights) for factor in factors])
            reached.append(weights)
        best = best_of(reached)
        a = found.a * float(best[last] / found.weights[last])
        return Mixture(a, found.b, found.c0, best, self.error(best))

    def _best(self, tried: Iterable[tuple[FloatArray, float]]) -> Mixture:
        points, errors = zip(*tried, strict=True)
        best = first_of_best(-np.array(errors))
        if errors[best] >= SINGULAR_LOSS:
            raise SingularKernel("no mixture of the kernels can be inverted; give a smaller model.kernel.a or c0")
        return replace(self._mixture(points[best]), loss=errors[best])

    def _mixture(self, x: FloatArray) -> Mixture:
        """Return the mixture of log10 a, b and log10 c0, of orders alone."""
        a, b, c0 = float(10 ** x[0]), float(x[1]), float(10 ** x[2]) if self._constant else 0.0
        weights = mixture_weights(a, b, c0, self._n_orders - 1)
        return Mixture(a, b, c0, np.pad(weights, (0, len(self._parts) - len(weights))), np.nan)


def search_mixture(
    parts: FloatArray, y: FloatArray, variance: FloatArray, settings: KernelRidgeSettings, folds: Sequence[IntArray]
) -> Mixture:
    """Return the mixture c0 k^0 + a sum_nu b^nu / nu! k^nu that predicts folds left out best, with regulariser 1.

    What the settings give is kept. A single order has b = 1, tensors have c0 = 0. Kernels of pairs and triangles get
    their weights afterwards, in turns with the scale of the orders.

    Args:
        parts: kernels of the data, order by order, then those of pairs and triangles [part, row, row].
        y: data [row].
        variance: squared tolerances [row], in which errors are counted.
        settings: a, b and c0 where they are given, how to search, and which error counts.
        folds: rows left out together.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), appendix E.
    """
    kernel = settings.kernel
    assert isinstance(kernel, KernelSettings)
    if not (variance == 1.0).all():
        tolerance = np.sqrt(variance)
        parts, y = parts / (tolerance[:, None] * tolerance), y / tolerance
    n_orders, constant = n_parts(kernel), kernel.c0 != 0.0 and bool(parts[0].any())
    search = MixtureSearch(parts, y, folds, settings.measure, n_orders, constant)
    given = [
        None if kernel.a is None else float(np.log10(kernel.a)),
        1.0 if n_orders == 2 else kernel.b,
        (None if kernel.c0 is None else float(np.log10(kernel.c0))) if constant else 0.0,
    ]

    def axes(of: Axes) -> list[tuple[float, ...]]:
        return [tuple(axis) if value is None else (value,) for axis, value in zip(of, given, strict=True)]

    if settings.optimise == "annealing":
        bounds = [limits if v is None else (v, v + NARROW) for limits, v in zip(BOUNDS, given, strict=True)]
        best = search.by_annealing(bounds)
    else:
        best = search.on_grid(axes(COARSE))
        log10_a, log10_c0 = np.log10(best.a), np.log10(best.c0 or 1.0)
        around = [[log10_a + x for x in FINER[0]], [best.b * x for x in FINER[1]], [log10_c0 + x for x in FINER[2]]]
        best = search.on_grid(axes(around))
    return best if len(parts) == n_orders else search.with_others(best, kernel.a is None)
