"""Fits of sums over structures in three bases: the structures, active environments, structures with derivatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError

from hamlearn.config import KernelSettings
from hamlearn.errors import ConfigError
from hamlearn.job import Job
from hamlearn.kernels import EnvironmentKernel, Environments
from hamlearn.learning.active import active_counts
from hamlearn.learning.bases import ActiveBasis, Basis, DerivativeBasis, StructureBasis, self_kernels_of
from hamlearn.learning.sum_task import SumTask
from hamlearn.progress import Progress
from hamlearn.regression.calibration import ratio_of_active, ratio_of_data
from hamlearn.regression.farthest import farthest_points
from hamlearn.regression.full import RegularisedKernel
from hamlearn.regression.positive import RELATIVE_EIGENVALUE, eigen_root
from hamlearn.regression.posterior import Posterior
from hamlearn.regression.sparse import SparseProblem
from hamlearn.regression.spectral import Spectrum, fit_ridge
from hamlearn.structures.families import Family
from hamlearn.ties import first_of_best
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

LARGEST_SIGNAL = 1e11
"""Prior variance of a datum over its noise: more would leave no digits to uncertainties and forces."""

SCALES = tuple(10.0**k for k in range(-2, 5))
"""Of the kernel when derivatives are learned, relative to the best one of values alone."""

SMALLEST_DISTANCE = 1e-10
"""Squared distance, relative to the largest norm, below which environments count as equal."""

MOST_STRUCTURES = 64
SHARE = 0.1
"""Of the memory a tile may take: intermediates are several times as large."""


@dataclass(frozen=True)
class SumFit:
    """What a fit found.

    Attributes:
        weights: [basis].
        mixture: weights of the parts of the kernel [n_parts], scaled so that the regulariser is 1.
        posterior: how uncertain predictions are; None without error bars.
    """

    weights: FloatArray
    mixture: FloatArray
    posterior: Posterior | None


def parts_of(kernel: EnvironmentKernel, task: SumTask) -> FloatArray:
    """Return the kernels of all data with themselves, part by part [n_parts, row, row]."""
    if task.data.gradients is None:
        basis = StructureBasis(kernel, task.structures, task.group.irrep)
        parts = basis.parts(basis.environments)
        if task.data.functional is None:
            return parts
        sums = np.kron(task.data.functional, np.eye(task.group.width))
        return np.asarray(sums @ parts @ sums.T)
    derivatives = DerivativeBasis(kernel, task.structures, task.group.irrep)
    return np.stack([derivatives.gram(unit) for unit in np.eye(kernel.n_parts)])


def fit_full_basis(
    kernel: EnvironmentKernel, task: SumTask, parts: FloatArray, mixture: FloatArray
) -> tuple[Basis, SumFit]:
    """Solve (K + Lambda) x = y with the structures as basis."""
    basis = StructureBasis(kernel, task.structures, task.group.irrep)
    fit = _solved(np.tensordot(mixture, parts, 1), task, mixture)
    if task.data.functional is None:
        return basis, fit
    sums = np.kron(task.data.functional, np.eye(task.group.width))
    known = fit.posterior and replace(fit.posterior, directions=sums.T @ fit.posterior.directions)
    return basis, replace(fit, weights=sums.T @ fit.weights, posterior=known)


def fit_derivatives(kernel: EnvironmentKernel, task: SumTask, mixture: FloatArray) -> tuple[Basis, SumFit]:
    """Solve for structures and derivatives as basis, with the scale of the kernel that predicts folds left out best."""
    basis = DerivativeBasis(kernel, task.structures, task.group.irrep)
    y, variance, folds = task.rows()
    gram = basis.gram(mixture)
    scales = SCALES if kernel.settings.a is None else (1.0,)
    largest = float((gram.diagonal() / variance).max())
    scales = tuple(scale for scale in scales if scale * largest <= LARGEST_SIGNAL) or scales[:1]
    errors = []
    for scale in scales:
        try:
            residual = RegularisedKernel(scale * gram, variance).residuals(y[:, None], folds)[:, 0]
            errors.append(float(np.mean(residual**2 / variance)))
        except LinAlgError:  # singular to rounding at this scale
            errors.append(np.inf)
    scale = scales[int(first_of_best(-np.array(errors)))]
    return basis, _solved(scale * gram, task, scale * mixture)


def fit_active(kernel: EnvironmentKernel, task: SumTask, mixture: FloatArray, job: Job) -> tuple[Basis, SumFit]:
    """Solve for active environments as basis, rows of all structures tile by tile, scale of the kernel or as given.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018); variance: Rasmussen, Williams, Gaussian
    Processes for Machine Learning (2006), eq. 8.27.
    """
    basis = ActiveBasis(kernel, *_active_rows(kernel, task, mixture))
    priors = np.concatenate(
        [np.diagonal(k) for k in self_kernels_of(kernel, task.structures, task.group.irrep, mixture)]
    )
    mean = float(priors.mean())
    mixture, priors = mixture / mean, priors / mean  # kernels of order 1, as the solver expects features to be
    gram, folds, noise = basis.gram(mixture), task.folds(), task.data.variances[0]
    problem = SparseProblem(gram, 1, len(folds), "rkhs-qr", RELATIVE_EIGENVALUE)
    values = _add_rows(problem, basis, task, mixture, job)
    if kernel.settings.a is None:
        alpha = float(fit_ridge(problem, len(folds)).posterior.alphas[0])
        alpha = max(alpha, float(priors.max()) / (noise * LARGEST_SIGNAL))
    else:
        alpha = 1.0 / mean
    if not alpha > 0:
        raise ConfigError("the kernels of all active environments vanish; give a larger model.kernel.cutoff_angstrom")
    assert problem.root is not None
    solver = task.settings.solver or "rkhs-qr"
    weights = alpha * (problem if solver == "rkhs-qr" else problem.solved_by(solver)).weights(alpha)[:, 0]
    if task.settings.error_bars is False:
        return basis, SumFit(weights, mixture / alpha, None)
    spectrum = Spectrum.of(problem.factor(), problem.n_rows(), problem.rank)
    of_basis = _folds_of(basis, task)
    maps = [_restriction(problem.root.T @ gram, gram, of_basis != fold) for fold in range(len(folds))]
    scale = ratio_of_active(problem, values, maps, alpha, priors, noise)
    squares = spectrum.singular_values**2
    known = np.sqrt(alpha) * (problem.root @ (spectrum.basis * np.sqrt(squares / (squares + alpha))))
    posterior = Posterior.of_factor(known, np.array([scale]), np.array([noise]), noise=1.0)
    return basis, SumFit(weights, mixture / alpha, posterior)


def structure_tiles(
    structures: Sequence[Atoms], kernel: KernelSettings, memory_gb: float, n_basis: int
) -> Iterator[slice]:
    """Yield ranges of structures, each of at least one, whose densities, derivatives and kernels fit into memory.

    Args:
        structures: geometries.
        kernel: sets the size of a density and its derivatives.
        memory_gb: of the whole job.
        n_basis: number of kernels of every value and every derivative.
    """
    start, used = 0, 0.0
    for k, atoms in enumerate(structures):
        n = len(atoms)
        channels = kernel.max_channels or kernel.n_radial * len(set(atoms.numbers.tolist()))
        gradients = 3.0 * n * n * (kernel.max_l + 1) ** 2 * channels
        needed = 8e-9 * (gradients + n_basis * (3 * n + kernel.max_nu + 1))
        if k > start and (used + needed > SHARE * memory_gb or k - start == MOST_STRUCTURES):
            yield slice(start, k)
            start, used = k, 0.0
        used += needed
    if len(structures):
        yield slice(start, len(structures))


def _solved(gram: FloatArray, task: SumTask, mixture: FloatArray) -> SumFit:
    """Return the solution of (G + Lambda) x = y, for a basis that is the data themselves, the values first."""
    y, variance, folds = task.rows()
    try:
        kernel = RegularisedKernel(gram, variance)
        weights = kernel.weights(y[:, None])[:, 0]
        if task.settings.error_bars is False:
            return SumFit(weights, mixture, None)
        scale = ratio_of_data(kernel, y[:, None], folds, len(task.values))
    except LinAlgError:
        raise ConfigError(
            "the kernel of the training set is singular to rounding; give smaller model.kernel.a and c0, or leave "
            "them out"
        ) from None
    posterior = Posterior.of_factor(kernel.inverse_root(), np.array([scale]), np.array([float(variance[0])]), noise=1.0)
    return SumFit(weights, mixture, posterior)


def _add_rows(
    problem: SparseProblem, basis: ActiveBasis, task: SumTask, mixture: FloatArray, job: Job
) -> list[FloatArray]:
    """Take in the rows of all structures, each fold as a part; return those of the values [A y] of every fold."""
    structures, data = task.structures, task.data
    first_atom, m = np.cumsum([0, *(len(atoms) for atoms in structures)]), task.group.width
    noise, slope_noise = data.variances
    assert problem.root is not None
    kept: list[FloatArray] = []
    with job.progress(f"{len(basis.environments)} active environments", len(structures)) as progress:
        for fold, members in enumerate(task.folds()):
            start, own = int(members[0]), structures[members[0] : members[-1] + 1]
            values = [np.zeros((0, problem.rank + 1))]
            for tile in structure_tiles(
                own, basis.kernel.settings, task.settings.memory_gb, m * len(basis.environments)
            ):
                where = slice(start + tile.start, start + tile.stop)
                env = basis.kernel.environments(structures[where], gradients=data.gradients is not None)
                y = task.values[m * where.start : m * where.stop]
                rows, slopes = _rows_of(basis, env, mixture)
                problem.add(rows, y, fold, np.full(len(y), noise))
                values.append(np.column_stack([rows @ problem.root, y]))
                if slopes is not None and data.gradients is not None:
                    known = data.gradients[first_atom[where.start] : first_atom[where.stop]].ravel()
                    problem.add(slopes, known, fold, np.full(len(known), slope_noise))
                _advance(progress, tile)
            kept.append(np.concatenate(values))
    return kept


def _rows_of(basis: ActiveBasis, env: Environments, mixture: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """Return kernels with the basis of values, and of derivatives if the environments have them."""
    return (basis.values(env, mixture), None) if env.gradients is None else basis.values_and_gradients(env, mixture)


def _advance(progress: Progress, tile: slice) -> None:
    progress.advance(count=tile.stop - tile.start)


def _active_rows(
    kernel: EnvironmentKernel, task: SumTask, mixture: FloatArray
) -> tuple[Sequence[Atoms], tuple[int, int], dict[int, IntArray]]:
    """Return the structures that hold the active environments, the irrep, and the rows of the environments in them.

    The farthest points of every element in the metric of the mixture; all of them if no number is given.
    """
    env = kernel.environments(task.structures)
    counts = {Family("on_site", z, z): env.count(z) for z in env.species}
    wanted = active_counts(counts, task.settings.active)
    chosen = {f.species_i: _farthest(kernel, env, f.species_i, n, mixture) for f, n in wanted.items()}
    holders = np.unique(np.concatenate([env.structure[z][rows] for z, rows in chosen.items()]))
    rows = {z: (np.cumsum(np.isin(env.structure[z], holders)) - 1)[index] for z, index in chosen.items()}
    return [task.structures[k] for k in holders], task.group.irrep, rows


def _farthest(kernel: EnvironmentKernel, env: Environments, z: int, n: int, mixture: FloatArray) -> IntArray:
    """Return rows of one element, ascending."""
    if n == env.count(z):
        return np.arange(n)
    own = env.select({z: np.arange(env.count(z))})

    def column(row: int) -> FloatArray:
        one = own.select({z: np.array([row])})
        return mixture @ kernel.environment_matrix(own, one)[z][:, :, 0]

    diagonal = mixture @ kernel.environment_diagonal(own)[z]
    return np.sort(farthest_points(column, diagonal, n, tolerance=SMALLEST_DISTANCE))


def _folds_of(basis: ActiveBasis, task: SumTask) -> IntArray:
    """Return the fold of the structure that each function of the basis is centred on [basis]."""
    position = {id(atoms): k for k, atoms in enumerate(task.structures)}
    holder = np.array([position[id(atoms)] for atoms in basis.structures])
    active = basis.environments
    structure = holder[np.concatenate([active.structure[z] for z in active.species])]
    return np.repeat(np.searchsorted([fold[-1] for fold in task.folds()], structure), task.group.width)


def _restriction(features: FloatArray, gram: FloatArray, kept: IntArray) -> FloatArray:
    """Return the map from the features of all active environments to those of some of them [r, s].

    Args:
        features: of the active environments [r, basis].
        gram: kernel of the active environments [basis, basis].
        kept: those that remain [basis].
    """
    if not kept.any():
        return np.zeros((len(features), 0))
    root = eigen_root(gram[np.ix_(kept, kept)], RELATIVE_EIGENVALUE, "the kernel of the active environments")
    return features[:, kept] @ root
