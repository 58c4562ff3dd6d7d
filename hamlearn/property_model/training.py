"""From labelled structures to a fitted kernel model: hyperparameters, basis, weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hamlearn.config import ModelSettings
from hamlearn.kernels import EnvironmentKernel
from hamlearn.models.hyperparameters import fold_indices
from hamlearn.progress import Progress
from hamlearn.property_model.active import active_rows
from hamlearn.property_model.basis import ActiveBasis, Basis, DerivativeBasis, Irrep, StructureBasis, structure_diagonal
from hamlearn.property_model.fitting import Rows, Solution, solve_active, solve_full, solve_scaled
from hamlearn.property_model.mixture import MixtureFit, search_mixture
from hamlearn.property_model.tiles import structure_tiles

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Echo = Callable[[str], object] | None

MOST_CROSS_VALIDATED = 800
"""Structures (the first) whose kernels with each other decide on the mixture where a basis of structures is not asked
for; more would cost more than the fit and change little."""


@dataclass(frozen=True)
class Data:
    """Labels in units of the spread of the values.

    Attributes:
        values: without the baseline [structure, 2L+1].
        gradients: minus the forces [atom, 3]; None if they are not learned.
    """

    values: FloatArray
    gradients: FloatArray | None

    def variances(self, model: ModelSettings) -> tuple[float, float]:
        """Return the variance of a value and of a component of a gradient: their spreads over their weights."""
        if self.gradients is None:
            return 1.0, 1.0
        spread = float(np.mean(self.gradients**2)) or 1.0
        return 1.0 / model.energy_weight, spread / model.force_weight


@dataclass(frozen=True)
class Trained:
    """What training found."""

    basis: Basis
    solution: Solution
    hyperparameters: dict[str, float]
    cv_error: float


def train(
    kernel: EnvironmentKernel,
    model: ModelSettings,
    basis_kind: str,
    irrep: Irrep,
    structures: Sequence[Atoms],
    data: Data,
    echo: Echo,
    label: str,
) -> Trained:
    """Fit a model; every choice is made by cross-validation over the structures given.

    Args:
        kernel: fitted to the structures.
        model: basis and regression.
        basis_kind: full, sparse or derivatives.
        irrep: (L, sigma) of the property.
        structures: training set.
        data: its labels.
        echo: receives lines about the progress.
        label: begins these lines.
    """
    full = StructureBasis(kernel, structures, irrep)
    n_seen = len(structures) if basis_kind == "full" else min(len(structures), MOST_CROSS_VALIDATED)
    seen = full if n_seen == len(structures) else StructureBasis(kernel, structures[:n_seen], irrep)
    parts = seen.parts(seen.environments)
    y, m = data.values.ravel(), data.values.shape[1]
    found = search_mixture(parts, y[: n_seen * m], kernel.settings, model, row_folds(n_seen, model.folds, m))
    if basis_kind == "full":
        basis: Basis = full
        gram, folds = np.tensordot(found.weights, parts, 1), row_folds(len(structures), model.folds, m)
        solution = solve_full(gram, y, np.ones(len(y)), found.weights, folds, len(y))
    elif basis_kind == "derivatives":
        basis = DerivativeBasis(kernel, structures, irrep)
        solution = _solve_derivatives(basis, data, model, found)
    else:
        del parts
        basis = ActiveBasis(kernel, *active_rows(kernel, structures, irrep, model, found.weights))
        solution = _solve_active(basis, structures, data, model, found, echo, label)
    factor = float(solution.mixture[-1] / found.weights[-1])
    hyper = {"a": found.a * factor, "b": found.b, "c0": found.c0 * factor}
    return Trained(basis, solution, hyper, found.error)


def structure_folds(n: int, k: int) -> list[slice]:
    """Return k (at most n) contiguous folds of n structures."""
    return [slice(int(fold[0]), int(fold[-1]) + 1) for fold in fold_indices(n, min(k, n))]


def row_folds(n: int, k: int, m: int) -> list[IntArray]:
    """Return the rows of every fold of n structures with m components each."""
    return [np.arange(fold.start * m, fold.stop * m) for fold in structure_folds(n, k)]


def _solve_derivatives(basis: DerivativeBasis, data: Data, model: ModelSettings, found: MixtureFit) -> Solution:
    """Solve for energies and gradients of all structures at once; folds hold out whole structures."""
    assert data.gradients is not None
    value, gradient = data.variances(model)
    n = len(basis.structures)
    y = np.concatenate([data.values[:, 0], data.gradients.ravel()])
    variance = np.concatenate([np.full(n, value), np.full(data.gradients.size, gradient)])
    owner = np.concatenate([np.arange(n), np.repeat(np.arange(n), [3 * len(atoms) for atoms in basis.structures])])
    folds = [np.flatnonzero((owner >= f.start) & (owner < f.stop)) for f in structure_folds(n, model.folds)]
    return solve_scaled(basis.gram(found.weights), y, variance, found.weights, folds, n)


def _solve_active(
    basis: ActiveBasis,
    structures: Sequence[Atoms],
    data: Data,
    model: ModelSettings,
    found: MixtureFit,
    echo: Echo,
    label: str,
) -> Solution:
    """Reduce the rows of all structures tile by tile, and solve."""
    noise, slope_noise = data.variances(model)
    first_atom = np.cumsum([0, *(len(atoms) for atoms in structures)])
    diagonal = structure_diagonal(basis.kernel, structures, basis.irrep, found.weights)
    mixture = found.weights / diagonal.mean()  # kernels of order 1, as the solver expects features to be

    def tiles(fold: slice, progress: Progress) -> Iterator[Rows]:
        n_basis = len(basis.environments) * data.values.shape[1]
        for tile in structure_tiles(structures[fold], basis.kernel.settings, model.memory_gb, n_basis):
            where = slice(fold.start + tile.start, fold.start + tile.stop)
            env = basis.kernel.environments(structures[where], gradients=data.gradients is not None)
            y = data.values[where].ravel()
            if data.gradients is None:
                yield Rows(basis.values(env, mixture), y, True)
            else:
                rows, slopes = basis.values_and_gradients(env, mixture)
                own = data.gradients[first_atom[where.start] : first_atom[where.stop]].ravel()
                yield Rows(rows / np.sqrt(noise), y / np.sqrt(noise), True)
                yield Rows(slopes / np.sqrt(slope_noise), own / np.sqrt(slope_noise), False)
            for _ in range(tile.stop - tile.start):
                progress.advance()

    with Progress(f"{label}, {len(basis.environments)} active environments", len(structures), echo) as progress:
        folds = (tiles(fold, progress) for fold in structure_folds(len(structures), model.folds))
        return solve_active(folds, basis.gram(mixture), mixture, diagonal / diagonal.mean(), noise)
