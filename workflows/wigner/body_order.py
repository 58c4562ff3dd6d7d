"""Body-order ablation: energies of gold-like clusters learned with Wigner kernels of increasing order, SOAP and squares.

    python workflows/wigner/body_order.py                                                    # the shipped 300 clusters
    python workflows/wigner/body_order.py --data FILE --train 50 100 200 500 1000 --test 300

After Fig. 1 of Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024). All kernels are made of one density and
share splits. Width and growth of its Gaussians have the smallest cross-validated error, the geometric mean over all
kernels, on some clusters of the training pool; mixture, scale and power of every kernel are chosen inside each training
set.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np

from hamlearn.config import KernelSettings
from hamlearn.kernels import EnvironmentKernel
from hamlearn.models import KernelRidge, fold_indices, grid_mixture
from hamlearn.observables import average_orders
from hamlearn.plots import learning_curve
from hamlearn.plots.panels import new_panels
from hamlearn.plots.style import BLUE, GREEN, GREY, INK, PURPLE, VERMILION
from hamlearn.report.figures import Drawing
from hamlearn.structures import read_structures, split, training_orders

ROOT = Path(__file__).parents[2]
KCAL_PER_EV = 23.060548
ORDERS = (2, 3, 4, 6)
ALONE = {2: "ν = 2", 3: "ν = 3", 4: "ν = 4", 6: "ν = 6"}
UP_TO = {2: "ν ≤ 2", 3: "ν ≤ 3", 4: "ν ≤ 4", 6: "ν ≤ 6"}
SQUARE, MIXED_SQUARE, SOAP = "(ν = 2)²", "(ν ≤ 2)²", "SOAP-GPR"
LOOKS = dict(zip(ORDERS, ((GREY, "v"), (GREEN, "s"), (BLUE, "o"), (PURPLE, "D")), strict=True))
GAUSSIANS = tuple(itertools.product((0.3, 0.6), (2.5, 5.0, None)))  # C and r0 of the width C exp(r / r0), Å
CHOSEN_ON = 50  # clusters
FOLDS = 10
LOG10_A, LOG10_C0 = np.arange(0.0, 12.5, 0.5), (3.0, 7.0)
ALONE_AXES = (LOG10_A, (1.0,), LOG10_C0)
MIXTURES = (LOG10_A[::2], (0.03, 0.1, 0.3, 1.0, 3.0, 10.0), LOG10_C0)


def settings(gaussian, **kind):
    """Return the published cut-off and l_max with Gaussians of this width and growth, weighted by exp(-r / r0)."""
    width, growth = gaussian
    return KernelSettings(
        cutoff_angstrom=6.0,
        smearing_angstrom=width,
        smearing_growth_angstrom=growth,
        decay_angstrom=growth,
        **kind,
    )


def squares(kernel, rows, columns):
    """Return sum_ij of the products of two of k^0, k^1, k^2 of single environments, [6, rows, columns]."""
    sides = [kernel.environments(side) for side in (rows, columns)]
    starts = [np.cumsum([0, *map(len, side[:-1])]) for side in (rows, columns)]
    (orders,) = kernel.environment_matrix(*sides).values()
    pairs = itertools.combinations_with_replacement(orders, 2)
    return np.array([np.add.reduceat(np.add.reduceat(a * b, starts[0]), starts[1], axis=1) for a, b in pairs])


def square_of_mixture(products, b, c0):
    """Return sum_ij (c0 k^0 + b k^1 + b^2 k^2 / 2)^2, [rows, columns]."""
    weights = itertools.combinations_with_replacement((c0, b, b**2 / 2), 2)
    multiplicity = [1 if p == q else 2 for p, q in itertools.combinations_with_replacement(range(3), 2)]
    return sum(m * p * q * x for m, (p, q), x in zip(multiplicity, weights, products, strict=True))


def kernels(gaussian, fitted_on, rows, columns):
    """Return for every curve the alternatives to choose among, each a stack of parts [part, rows, columns]."""

    def between(**kind):
        kernel = EnvironmentKernel(settings(gaussian, **kind)).fit(fitted_on)
        left = kernel.environments(rows)
        return kernel.between(left, left if columns is rows else kernel.environments(columns))

    orders = between(max_nu=max(ORDERS))
    second = EnvironmentKernel(settings(gaussian, max_nu=2)).fit(fitted_on)
    tiles = [squares(second, rows[k : k + 50], columns) for k in range(0, len(rows), 50)]
    products = np.concatenate(tiles, axis=1)
    mixed = [square_of_mixture(products, b, c0) for b in (0.2, 0.8, 3.0, 12.0) for c0 in (0.0, 1.0)]
    return {
        **{ALONE[nu]: [orders[[0, nu]]] for nu in ORDERS},
        SQUARE: [between(kind="order", max_nu=2, zeta=2)],
        **{UP_TO[nu]: [orders[: nu + 1]] for nu in ORDERS},
        MIXED_SQUARE: [np.array([orders[0], square]) for square in mixed],
        SOAP: [between(kind="soap", zeta=zeta) for zeta in (2, 4)],
    }


def choose(alternatives, y, seed=0):
    """Return (cross-validated error, alternative, weights of its parts), the best over alternatives and mixtures."""
    folds = fold_indices(len(y), FOLDS, seed)
    found = []
    for k, parts in enumerate(alternatives):
        axes = MIXTURES if len(parts) > 2 else ALONE_AXES
        best = grid_mixture(parts, y, folds, 1.0, "rmse", *axes)
        found.append((best.loss, k, best.weights))
    return min(found, key=lambda choice: choice[0])
