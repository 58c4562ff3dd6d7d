"""Sums over structures: what a fit learns, and fits on kernels of all data or of active environments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError

from hamlearn.config import KernelRidgeSettings, KernelSettings
from hamlearn.errors import ConfigError
from hamlearn.job import Job
from hamlearn.kernels import EnvironmentKernel, Environments
from hamlearn.kernels.parts import n_parts
from hamlearn.learning.active import active_counts, check_active, choose_environments
from hamlearn.learning.bases import Basis, self_kernels_of
from hamlearn.learning.data import Data
from hamlearn.learning.domain import family_counts
from hamlearn.learning.groups import Group, in_lots
from hamlearn.learning.limits import refuse_beyond
from hamlearn.regression.alphas import SingularKernel, choose_alphas
from hamlearn.regression.fit import ratio_of_active, ratio_of_data
from hamlearn.regression.folds import fold_indices, rows_of
from hamlearn.regression.full import RegularisedKernel
from hamlearn.regression.positive import RELATIVE_EIGENVALUE
from hamlearn.regression.posterior import Posterior
from hamlearn.regression.sparse import SparseProblem
from hamlearn.regression.spectral import Spectrum, fit_ridge
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

MOST_VALUES, MOST_DERIVATIVES = 800, 450
"""Data (of the first structures) that decide on the mixture where the basis is not the values themselves: kernels of
more would cost more than the fit and change little. A sparse basis leaves the decision to values, which are cheap."""

LARGEST_SIGNAL = 1e11
"""Prior variance of a datum over its noise: more would leave no digits to uncertainties and forces."""

SCALES = tuple(10.0**k for k in range(-2, 5))
"""Of the kernel when derivatives are learned, relative to the best one of values alone."""

COPIES = {"full": 4, "derivatives": 4, "sparse": 8}
"""Matrices of the size of each basis held while it is solved, beside the parts of a full and the folds of a sparse."""

REMEDY = {
    "full": "use basis sparse, fewer structures, or more memory",
    "derivatives": "use fewer structures, more memory, or basis sparse",
    "sparse": "lower model.active, or raise memory_gb",
}

MOST_STRUCTURES = 64
SHARE = 0.1
"""Of the memory a tile may take: intermediates are several times as large."""

Known = tuple[FloatArray, float] | None
"""F with Var = k(*, *) - (k F)(k F)^T [basis, r], and the ratio of squared errors to variances; None without."""


@dataclass(frozen=True)
class SumTask:
    """Values and gradients of some structures, in units of the spread of the values.

    Attributes:
        structures: bare geometries.
        data: sums over structures, with gradients if they are learned.
        group: the one group of the data.
        settings: folds, memory and active set.
    """

    structures: Sequence[Atoms]
    data: Data
    group: Group
    settings: KernelRidgeSettings

    @property
    def values(self) -> FloatArray:
        """All values, structure by structure [structure x m]."""
        return self.data.values[self.group][:, 0]

    @property
    def sums(self) -> FloatArray | None:
        """What makes data of values of structures [datum x m, structure x m]; None where these are the data."""
        functional = self.data.functional
        return None if functional is None else np.asarray(np.kron(functional, np.eye(self.group.width)))

    def without_gradients(self) -> SumTask:
        """Return the values alone, all of tolerance 1."""
        return replace(self, data=replace(self.data, gradients=None, variances=(1.0, 1.0)))

    def first(self, n: int) -> SumTask:
        """Return the first n structures; all where sums of structures are known."""
        if self.data.functional is not None:
            return self
        some, data = self.structures[:n], self.data
        known = data.gradients if data.gradients is None else data.gradients[: sum(map(len, some))]
        part = replace(data.part(np.arange(len(some))), gradients=known, variances=data.variances)
        return replace(self, structures=some, data=part)

    def deciding(self, kind: str) -> SumTask:
        """Return what decides on the mixture for a basis of a kind: all, or at least two of the first structures."""
        if kind != "derivatives":
            return self.without_gradients().first(len(self.structures) if kind == "full" else MOST_VALUES)
        rows = np.cumsum([1 + 3 * len(atoms) for atoms in self.structures])
        return self.first(max(2, int(np.searchsorted(rows, MOST_DERIVATIVES, side="right"))))

    def rows(self) -> tuple[FloatArray, FloatArray, list[IntArray]]:
        """Return all data, values before gradients: [row], variances [row], and the rows of every fold."""
        slopes = np.zeros(0) if self.data.gradients is None else self.data.gradients.ravel()
        of_atoms = np.repeat(np.arange(len(self.structures)), [3 * len(atoms) for atoms in self.structures])
        owner = np.concatenate([self.data.owner[self.group], of_atoms[: len(slopes)]])
        variance = np.repeat(self.data.variances, [len(self.values), len(slopes)])
        return np.concatenate([self.values, slopes]), variance, [rows_of(owner, fold) for fold in self.folds()]

    def folds(self) -> list[IntArray]:
        """Return contiguous folds of the structures, or of the sums of structures that are known."""
        return fold_indices(self.data.n_structures, min(self.settings.folds, self.data.n_structures))


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

    @classmethod
    def of(cls, weights: FloatArray, mixture: FloatArray, alpha: float, noise: float, known: Known) -> SumFit:
        """Return the fit with the kernel divided by its regulariser alpha, from weights and mixture as they are."""
        if known is None:
            return cls(alpha * weights, mixture / alpha, None)
        factor, ratio = known
        posterior = Posterior.of_factor(np.sqrt(alpha) * factor, np.array([ratio]), np.array([noise]), noise=1.0)
        return cls(alpha * weights, mixture / alpha, posterior)


def check_basis(settings: KernelRidgeSettings, structures: Sequence[Atoms], width: int, kind: str) -> None:
    """Refuse a basis of a kind for properties of 2L + 1 components that the training set does not hold, or memory.

    Raises:
        ConfigError: saying what there is, or how much is needed.
    """
    kernel = settings.kernel
    assert isinstance(kernel, KernelSettings)
    matrices = COPIES[kind]
    if kind == "sparse":
        check_active(settings.active, structures, pairs=False)
        n = width * sum(active_counts(family_counts(structures, pairs=False), settings.active).values())
        what, matrices = "active environments and components", matrices + settings.folds
    elif kind == "derivatives":
        n, what = len(structures) + 3 * sum(map(len, structures)), "energies and derivatives"
    else:
        n, what = width * len(structures), "values"
        matrices += n_parts(kernel) + len(kernel.additive)
    what = f"model.basis {kind} of {len(structures)} structures ({n} {what}) needs"
    refuse_beyond(settings.memory_gb, matrices * 8e-9 * n**2, what, REMEDY[kind])


def parts_of(kernel: EnvironmentKernel, task: SumTask) -> FloatArray:
    """Return the kernels of all data with themselves, part by part [n_parts, row, row]."""
    basis = Basis("full" if task.data.gradients is None else "derivatives", kernel, task.structures, task.group.irrep)
    parts, sums = basis.parts(basis.environments), task.sums
    return parts if sums is None else sums @ parts @ sums.T


def fit_data(
    kernel: EnvironmentKernel, task: SumTask, kind: str, parts: FloatArray, mixture: FloatArray
) -> tuple[Basis, SumFit]:
    """Solve (K + Lambda) x = y with the data as basis: values, or values and derivatives.

    With derivatives, the scale of the kernel is the one that predicts folds left out best, unless settings give it, and
    the kernel is made anew; else it is the mixture of the parts of the kernel of all values [n_parts, row, row].

    Raises:
        ConfigError: if the kernel is singular to rounding.
    """
    basis = Basis(kind, kernel, task.structures, task.group.irrep)
    y, variance, folds = task.rows()
    gram = basis.gram(mixture) if basis.has_derivatives else np.tensordot(mixture, parts, 1)
    largest = float((gram.diagonal() / variance).max())
    scales = SCALES if basis.has_derivatives and kernel.settings.a is None else (1.0,)
    alphas = [1 / s for s in scales if s * largest <= LARGEST_SIGNAL] or [1 / scales[0]]
    known: Known = None

    def errors_of(alpha: float) -> FloatArray:
        residuals = RegularisedKernel(gram, alpha * variance).residuals(y[:, None], folds)
        return (residuals**2 / variance[:, None]).mean(axis=0)

    try:
        (alpha,) = choose_alphas(errors_of, 1, alphas)[0] if len(alphas) > 1 else alphas
        solver = RegularisedKernel(gram, alpha * variance)
        weights = solver.weights(y[:, None])[:, 0]
        if task.settings.error_bars is not False:
            known = solver.inverse_root(), alpha * ratio_of_data(solver, y[:, None], folds, len(task.values))
    except (SingularKernel, LinAlgError):
        raise ConfigError(
            "the kernel of the training set is singular to rounding; give smaller model.kernel.a and c0, or leave "
            "them out"
        ) from None
    if task.sums is not None:
        weights, known = task.sums.T @ weights, known and (task.sums.T @ known[0], known[1])
    return basis, SumFit.of(weights, mixture, alpha, float(variance[0]), known)


def fit_active(kernel: EnvironmentKernel, task: SumTask, mixture: FloatArray, job: Job) -> tuple[Basis, SumFit]:
    """Solve for active environments as basis, rows of all structures tile by tile, scale of the kernel or as given.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018); variance: Rasmussen, Williams, Gaussian
    Processes for Machine Learning (2006), eq. 8.27.
    """
    basis, holders = _active_basis(kernel, task, mixture)
    irrep, m = task.group.irrep, task.group.width
    priors = np.concatenate([np.diagonal(k) for k in self_kernels_of(kernel, task.structures, irrep, mixture)])
    mean = float(priors.mean())
    mixture, priors = mixture / mean, priors / mean  # kernels of order 1, as the solver expects features to be
    folds, noise = task.folds(), task.data.variances[0]
    problem = SparseProblem(basis.gram(mixture), 1, len(folds), "rkhs-qr", RELATIVE_EIGENVALUE)
    _add_rows(problem, basis, task, mixture, job)
    if kernel.settings.a is None:
        best = float(fit_ridge(problem, len(folds)).known.alphas[0])
        alpha = max(best, float(priors.max()) / (noise * LARGEST_SIGNAL))
    else:
        alpha = 1.0 / mean
    if not alpha > 0:
        raise ConfigError("the kernels of all active environments vanish; give a larger model.kernel.cutoff_angstrom")
    solver = task.settings.solver or "rkhs-qr"
    weights = (problem if solver == "rkhs-qr" else problem.solved_by(solver)).weights(alpha)[:, 0]
    known: Known = None
    if task.settings.error_bars is not False:
        spectrum = Spectrum.of(problem)
        squares = spectrum.singular_values**2
        factor = problem.from_basis(spectrum.basis * np.sqrt(squares / (squares + alpha)))
        of_basis = np.repeat(np.searchsorted([fold[-1] for fold in folds], holders), m)
        known = factor, ratio_of_active(problem, of_basis, alpha, priors, noise)
    return basis, SumFit.of(weights, mixture, alpha, noise, known)


def structure_tiles(
    structures: Sequence[Atoms], kernel: KernelSettings, memory_gb: float, n_basis: int
) -> Iterator[slice]:
    """Yield ranges of structures, each of at least one, whose densities, derivatives and kernels fit into memory.

    Every value and every derivative has ``n_basis`` kernels.
    """
    sizes = []
    for atoms in structures:
        n = len(atoms)
        channels = kernel.max_channels or kernel.n_radial * len(set(atoms.numbers.tolist()))
        gradients = 3.0 * n * n * (kernel.max_l + 1) ** 2 * channels
        sizes.append(8e-9 * (gradients + n_basis * (3 * n + kernel.max_nu + 1)))
    for start, stop in in_lots(sizes, SHARE * memory_gb, MOST_STRUCTURES):
        yield slice(start, stop)


def _add_rows(problem: SparseProblem, basis: Basis, task: SumTask, mixture: FloatArray, job: Job) -> None:
    """Take in the rows of all structures, each fold as a part; those of values are kept."""
    structures, data, m = task.structures, task.data, task.group.width
    first_atom = np.cumsum([0, *(len(atoms) for atoms in structures)])
    settings, n_basis = basis.kernel.settings, m * len(basis.environments)
    with job.progress(f"{len(basis.environments)} active environments", list(map(len, structures))) as progress:
        for fold, members in enumerate(task.folds()):
            start, own = int(members[0]), structures[members[0] : members[-1] + 1]
            for tile in structure_tiles(own, settings, task.settings.memory_gb, n_basis):
                where = slice(start + tile.start, start + tile.stop)
                env = basis.kernel.environments(structures[where], gradients=data.gradients is not None)
                rows, slopes = _rows_of(basis, env, mixture)
                y = task.values[m * where.start : m * where.stop]
                problem.add(rows, y, fold, data.variances[0])
                problem.keep(rows, y, fold)
                if slopes is not None and data.gradients is not None:
                    known = data.gradients[first_atom[where.start] : first_atom[where.stop]].ravel()
                    problem.add(slopes, known, fold, data.variances[1])
                progress.advance(count=tile.stop - tile.start)


def _rows_of(basis: Basis, env: Environments, mixture: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """Return kernels with the basis of values, and of derivatives if the environments have them."""
    return (basis.values(env, mixture), None) if env.gradients is None else basis.values_and_gradients(env, mixture)


def _active_basis(kernel: EnvironmentKernel, task: SumTask, mixture: FloatArray) -> tuple[Basis, IntArray]:
    """Return the active environments, and the structure of each."""
    env = kernel.environments(task.structures)
    chosen = choose_environments(kernel, env, task.settings.active, mixture)
    holders = np.concatenate([env.structure[z][rows] for z, rows in chosen.items()])
    kept = np.unique(holders)
    rows = {z: (np.cumsum(np.isin(env.structure[z], kept)) - 1)[index] for z, index in chosen.items()}
    return Basis("sparse", kernel, [task.structures[k] for k in kept], task.group.irrep, rows), holders
