"""From labelled structures to a fitted kernel model: hyperparameters, basis, weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.config import ModelSettings
from hamlearn.errors import HamlearnWarning
from hamlearn.kernels import EnvironmentKernel
from hamlearn.learning.functionals import ActiveBasis, Basis, DerivativeBasis, StructureBasis, structure_diagonal
from hamlearn.learning.mixture import MixtureFit, search_mixture
from hamlearn.learning.property_active import active_rows
from hamlearn.learning.property_domain import check_not_vanishing
from hamlearn.learning.property_tiles import structure_tiles
from hamlearn.progress import Progress
from hamlearn.regression.folds_and_mixtures import fold_indices
from hamlearn.regression.property_fit import SCALES, Rows, Solution, solve_active, solve_full, solve_scaled
from hamlearn.types import Echo, FloatArray, IntArray, Irrep

if TYPE_CHECKING:
    from ase import Atoms


NOTHING_LEARNED = (
    "the cross-validated error is no smaller than the spread of the data: nothing was learned; look at labels, kernel "
    "and number of structures"
)

LEAST_TO_JUDGE = 20
"""Structures below which a large cross-validated error is no surprise."""

MOST_VALUES, MOST_DERIVATIVES = 800, 450
"""Data (of the first structures) that decide on the mixture where the basis is not the values themselves: kernels of
more would cost more than the fit and change little. A sparse basis leaves the decision to values, which are cheap."""


@dataclass(frozen=True)
class TrainingSet:
    """Structures and labels in units of the spread of the values.

    Attributes:
        structures: geometries.
        values: without the baseline [structure, 2L+1].
        gradients: minus the forces of all atoms [atom, 3]; None if they are not learned.
        model: weights of both, and folds.
    """

    structures: Sequence[Atoms]
    values: FloatArray
    gradients: FloatArray | None
    model: ModelSettings

    def variances(self) -> tuple[float, float]:
        """Return the variance of a value and of a component of a gradient: their spreads over their weights."""
        if self.gradients is None:
            return 1.0, 1.0
        spread = float(np.mean(self.gradients**2)) or 1.0
        return 1.0 / self.model.energy_weight, spread / self.model.force_weight

    def rows(self, n: int) -> tuple[FloatArray, FloatArray, list[IntArray]]:
        """Return all data of the first n structures, values before gradients: [row], variances [row], and folds."""
        owner = np.repeat(np.arange(n), self.values.shape[1])
        y, variance = self.values[:n].ravel(), np.full(len(owner), self.variances()[0])
        if self.gradients is not None:
            sizes = [len(atoms) for atoms in self.structures[:n]]
            slopes = self.gradients[: sum(sizes)].ravel()
            owner = np.concatenate([owner, np.repeat(np.arange(n), 3 * np.array(sizes))])
            y = np.concatenate([y, slopes])
            variance = np.concatenate([variance, np.full(len(slopes), self.variances()[1])])
        return y, variance, [np.flatnonzero(np.isin(owner, fold)) for fold in structure_folds(n, self.model.folds)]


@dataclass(frozen=True)
class Trained:
    """What training found: basis, solution, hyperparameters a, b, c0 and the error cv_error that chose them."""

    basis: Basis
    solution: Solution
    hyperparameters: dict[str, float]


def train(
    kernel: EnvironmentKernel, basis_kind: str, irrep: Irrep, data: TrainingSet, echo: Echo, label: str
) -> Trained:
    """Fit a model; every choice is made by cross-validation over the structures given.

    Args:
        kernel: fitted to the structures.
        basis_kind: full, sparse or derivatives.
        irrep: (L, sigma) of the property.
        data: training set.
        echo: receives lines about the progress.
        label: begins these lines.
    """
    deciding = data if basis_kind == "derivatives" else replace(data, gradients=None)
    n = len(data.structures) if basis_kind == "full" else _n_for_mixture(deciding)
    parts = _parts(kernel, irrep, deciding, n)
    check_not_vanishing(parts, kernel, irrep)
    y, variance, folds = deciding.rows(n)
    found = search_mixture(parts, y, variance, kernel.settings, data.model, folds)
    if basis_kind == "full":
        basis: Basis = StructureBasis(kernel, data.structures, irrep)
        solution = solve_full(np.tensordot(found.weights, parts, 1), y, variance, found.weights, folds, len(y))
    elif basis_kind == "derivatives":
        basis = DerivativeBasis(kernel, data.structures, irrep)
        y, variance, folds = data.rows(len(data.structures))
        scales = SCALES if kernel.settings.a is None else (1.0,)
        gram = basis.gram(found.weights)
        solution = solve_scaled(gram, y, variance, found.weights, folds, len(data.structures), scales)
    else:
        basis = ActiveBasis(kernel, *active_rows(kernel, data.structures, irrep, data.model, found.weights))
        solution = _solve_active(basis, data, found, echo, label)
    last = kernel.n_parts - 1
    factor = float(solution.mixture[last] / found.weights[last])
    extra = dict(zip(kernel.settings.additive, solution.mixture[last + 1 :].tolist(), strict=True))
    hyper = {"a": found.a * factor, "b": found.b, "c0": found.c0 * factor, **extra, "cv_error": found.error}
    if found.error >= 1.0 and len(data.structures) >= LEAST_TO_JUDGE:
        warnings.warn(NOTHING_LEARNED, HamlearnWarning, stacklevel=3)
    return Trained(basis, solution, hyper)


def structure_folds(n: int, k: int) -> list[IntArray]:
    """Return k (at most n) contiguous folds of n structures."""
    return fold_indices(n, min(k, n))


def _n_for_mixture(data: TrainingSet) -> int:
    """Return how many of the first structures decide on the mixture; at least two."""
    if data.gradients is None:
        return min(len(data.structures), MOST_VALUES)
    rows = np.cumsum([1 + 3 * len(atoms) for atoms in data.structures])
    return max(2, int(np.searchsorted(rows, MOST_DERIVATIVES, side="right")))


def _parts(kernel: EnvironmentKernel, irrep: Irrep, data: TrainingSet, n: int) -> FloatArray:
    """Return the kernels of all data of the first n structures, part by part [n_parts, row, row]."""
    if data.gradients is None:
        basis = StructureBasis(kernel, data.structures[:n], irrep)
        return basis.parts(basis.environments)
    derivatives = DerivativeBasis(kernel, data.structures[:n], irrep)
    return np.stack([derivatives.gram(unit) for unit in np.eye(kernel.n_parts)])


def _solve_active(basis: ActiveBasis, data: TrainingSet, found: MixtureFit, echo: Echo, label: str) -> Solution:
    """Reduce the rows of all structures tile by tile, and solve."""
    structures, (noise, slope_noise) = data.structures, data.variances()
    first_atom = np.cumsum([0, *(len(atoms) for atoms in structures)])
    diagonal = structure_diagonal(basis.kernel, structures, basis.irrep, found.weights)
    mixture = found.weights / diagonal.mean()  # kernels of order 1, as the solver expects features to be

    def tiles(fold: IntArray, progress: Progress) -> Iterator[Rows]:
        start, n_basis = int(fold[0]), len(basis.environments) * data.values.shape[1]
        own = structures[start : int(fold[-1]) + 1]
        for tile in structure_tiles(own, basis.kernel.settings, data.model.memory_gb, n_basis):
            where = slice(start + tile.start, start + tile.stop)
            env = basis.kernel.environments(structures[where], gradients=data.gradients is not None)
            y = data.values[where].ravel() / np.sqrt(noise)
            if data.gradients is None:
                yield Rows(basis.values(env, mixture) / np.sqrt(noise), y, True)
            else:
                rows, slopes = basis.values_and_gradients(env, mixture)
                known = data.gradients[first_atom[where.start] : first_atom[where.stop]].ravel()
                yield Rows(rows / np.sqrt(noise), y, True)
                yield Rows(slopes / np.sqrt(slope_noise), known / np.sqrt(slope_noise), False)
            for _ in range(tile.stop - tile.start):
                progress.advance()

    with Progress(f"{label}, {len(basis.environments)} active environments", len(structures), echo) as progress:
        folds = (tiles(fold, progress) for fold in structure_folds(len(structures), data.model.folds))
        scale = None if basis.kernel.settings.a is None else float(diagonal.mean())
        owner = _folds_of(basis, data)
        relative = diagonal / diagonal.mean()
        return solve_active(folds, basis.gram(mixture), mixture, relative, noise, owner, scale, data.model.solver)


def _folds_of(basis: ActiveBasis, data: TrainingSet) -> IntArray:
    """Return the fold of the structure that each function of the basis is centred on [basis]."""
    position = {id(atoms): k for k, atoms in enumerate(data.structures)}
    holder = np.array([position[id(atoms)] for atoms in basis.structures])
    active = basis.environments
    structure = holder[np.concatenate([active.structure[z] for z in active.species])]
    last = [fold[-1] for fold in structure_folds(len(data.structures), data.model.folds)]
    return np.repeat(np.searchsorted(last, structure), data.values.shape[1])
