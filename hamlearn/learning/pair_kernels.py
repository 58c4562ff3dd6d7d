"""Kernel regression of matrix blocks: Wigner kernels of atoms and atom pairs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from torch import Tensor

from hamlearn.config import KernelRidgeSettings, WignerSettings
from hamlearn.config.wigner import kernels_in_words
from hamlearn.errors import HamlearnWarning
from hamlearn.job import Job
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.kernels.block_kernel import check_mixtures
from hamlearn.kernels.block_tiles import reaches
from hamlearn.learning.active import active_counts, check_active, choose_active
from hamlearn.learning.choice import choose, evenly_spaced, grid_of
from hamlearn.learning.data import FEWEST_FOLDS, Data, number_of_folds
from hamlearn.learning.domain import family_counts, warn_of_far_pairs
from hamlearn.learning.fitted import Fitted, fitted_tensors, read_fitted
from hamlearn.learning.group_fits import (
    check_memory,
    fit_groups,
    fits_of_groups,
    gigabytes,
    held_fraction,
    held_out_answers,
    n_held_out,
)
from hamlearn.learning.groups import VANISHING, Answers, Group, check_held_out, family_name
from hamlearn.learning.kernel_learner import KernelLearner
from hamlearn.learning.limits import refuse_alone
from hamlearn.learning.tiles import KernelTiles, as_matrix, scratch_folder, self_kernels, wanted_of
from hamlearn.regression.posterior import variance_columns
from hamlearn.structures.families import numbers_of
from hamlearn.types import FloatArray
from hamlearn.units import HARTREE_MEV

if TYPE_CHECKING:
    from ase import Atoms

MOST_FULL = 200
"""Structures up to which every sample is in the basis, unless settings say otherwise."""

MOST_ACTIVE = 2000
"""Active samples of every family of a sparse model, unless settings say otherwise or memory holds fewer."""

MOST_TO_CHOOSE = 100
"""Structures a grid of settings is compared on, evenly spaced in the training set; fewer where memory does not hold
them."""


class PairKernelLearner(KernelLearner[WignerSettings]):
    """h^L_M(A) = sum_{B M'} k^{L sigma}_{MM'}(A, B) x_{B M'} for every block, with the kernels of a BlockKernel.

    Attributes:
        kernel_: fitted densities and norms, with the settings that a grid chose.
        active_: samples of the basis: of all training structures, or an active set.
        fits_: weights [row of the basis, block] and posterior of every group; regularisation is relative to the mean
            diagonal of the kernel.

    Predicted blocks transform exactly as irreps: h(R A) = s D^L(R) h(A).

    Source: kernels on O(3) as in Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), extended to pairs;
    blocks as in Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eq. 28.
    """

    OF_PAIRS = True

    kernel_: BlockKernel
    active_: Centres

    def __init__(self, settings: KernelRidgeSettings) -> None:
        super().__init__(settings)
        self.fits_: dict[Group, Fitted] = {}

    def new_kernel(self, settings: WignerSettings) -> BlockKernel:
        """Return kernels that are not fitted; those of a subclass may look up what they computed before."""
        return BlockKernel(settings)

    @property
    def pair_cutoff(self) -> float:
        """Largest distance of pairs of atoms that have blocks, Å."""
        return self.kernel.pair_cutoff_angstrom

    def check(self, structures: Sequence[Atoms], n_targets: Mapping[Group, int], held_out: bool = False) -> None:
        """Refuse what cannot be fitted, before anything is computed.

        Raises:
            ConfigError: for a single structure where some must be left out, an active set larger than the data, kernels
                or covariances of structures left out that need more than ``memory_gb``, a grid of settings that are
                not acceptable, or mixtures that break positivity.
        """
        s, is_full = self.settings, self._is_full(len(structures))
        if held_out or s.error_bars or not is_full or self.given.leaves_choice:
            what = "error bars, an active set and a choice of kernels need"
            refuse_alone(len(structures), what, ", or drop these settings")
        s.check_solver("full" if is_full else "sparse")
        check_active(s.active, structures)
        counts = family_counts(structures)
        present = {group: n for group, n in n_targets.items() if group.family in counts}
        if is_full:
            check_memory(present, counts, s.memory_gb, n_folds=number_of_folds(len(structures), s.folds))
        else:
            fraction = held_fraction(len(structures), s.folds)
            held = {family: math.ceil(fraction * n) for family, n in counts.items()}
            check_memory(present, active_counts(counts, self._most_active(present)), s.memory_gb, held)
        if held_out:
            n_held = len(structures) if is_full else n_held_out(len(structures), s.folds)
            numbers = numbers_of(structures)
            check_held_out(numbers, present, n_held, s.memory_gb)
        for settings in grid_of(self.given):
            check_mixtures(settings, structures)

    @classmethod
    def smaller(cls, settings: KernelRidgeSettings, structures: Sequence[Atoms]) -> KernelRidgeSettings:
        """Return settings with an active set that these structures hold, no grid, and no solver of a full basis."""
        fewer = super().smaller(settings, structures)
        return fewer.model_copy(update={"solver": None}) if cls(fewer)._is_full(len(structures)) else fewer

    def fit(self, structures: Sequence[Atoms], data: Data, job: Job, held_out: bool = False) -> Self:
        """Fit every block that has samples; cross-validation deals structures out to folds at random (fixed seed).

        Raises:
            ConfigError: if kernel matrices need more than ``memory_gb``, or if there is nothing to hold out.
        """
        self.check(structures, data.n_targets, held_out)
        s, is_full = self.settings, self._is_full(len(structures))
        variance = held_out or bool(s.error_bars)
        chosen = self._chosen(structures, data, job)
        warn_of_far_pairs(structures, chosen.pair_cutoff_angstrom)
        self.kernel_ = self.new_kernel(chosen).fit(structures)
        centres = self.kernel_.centres(structures)
        self.active_, active = centres, None
        if not is_full:
            most = self._most_active(data.groups)
            self.active_, active = choose_active(self.kernel_, centres, most, s.active_by, job)
            counts = self.basis_counts(data.groups)
            job.say(f"{job.label}, active set: {', '.join(f'{name} {n}' for name, n in counts.items())}")
        with scratch_folder(job.scratch) as folder:
            tiles = KernelTiles(self.kernel_, centres, self.active_, wanted_of(data.groups), folder, is_full)
            fits = fit_groups(tiles, active, data, s, variance, job)
        self.fits_ = {group: Fitted.of(fit, data.offset(group)) for group, fit in fits.items()}
        self.has_posterior_ = variance
        (self.domain_,) = self.domains(structures)
        _warn_of_unreached(chosen, data)
        self.held_out_ = [held_out_answers(data, fits)] if held_out else []
        return self

    def regularisation(self) -> dict[Group, FloatArray]:
        """Return the relative regularisation chosen for every block [block]."""
        return {group: fit.alphas for group, fit in self.fits_.items()}

    def remembered(self) -> tuple[BlockKernel, Centres]:
        """Return the kernel and the basis."""
        return self.kernel_, self.active_

    def in_words(self) -> list[str]:
        """Return which kernels were fitted, and the size of the basis."""
        samples = ", ".join(f"{name} {n}" for name, n in self.basis_counts(self.fits_).items())
        return [kernels_in_words(self.kernel.model_dump()), f"Atoms and pairs in the basis: {samples}"]

    def basis_counts(self, groups: Iterable[Group]) -> dict[str, int]:
        """Return how many atoms of each element and pairs of each two are in the basis of some groups."""
        families = {group.family for group in groups if group.family.kind != "minus"}
        ordered = sorted(families, key=lambda f: (f.kind != "on_site", f.species_i, f.species_j))
        return {family_name(f): n for f in ordered if (n := self.active_.count(f))}

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the domain and the settings chosen, and densities, basis, weights and posteriors."""
        spec, tensors = super().state()
        return spec, tensors | self.active_.tensors() | fitted_tensors(self.fits_)

    def _restore(self, groups: Mapping[Group, int], spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.kernel_ = BlockKernel.from_tensors(WignerSettings(**spec["kernel"]), tensors)
        self.active_ = Centres.from_tensors(tensors)
        self.fits_ = read_fitted(groups, tensors)
        self.has_posterior_ = any(fit.posterior for fit in self.fits_.values())

    def _answers(self, structures: Sequence[Atoms], job: Job, covariance: bool) -> Answers:
        answers, numbers = Answers(len(structures)), numbers_of(structures)
        present = set(family_counts(structures))
        fits = {group: fit for group, fit in self.fits_.items() if group.family in present}
        wanted, centres = wanted_of(fits), self.kernel_.centres(structures)
        tiles = KernelTiles(self.kernel_, centres, self.active_, wanted, job.scratch)
        with job.progress("structures", tiles.costs.tolist()) as progress:
            for start, stop, kernels in tiles.tiles(job.executor):
                own = self_kernels(self.kernel_, centres, range(start, stop), wanted) if covariance else []
                for group, fit in fits.items():
                    name = group.family, group.irrep
                    k = as_matrix(kernels.pop(name))
                    covariances = []
                    if covariance and fit.posterior:
                        sizes = [group.n_rows(z) for z in numbers[start:stop]]
                        priors = [as_matrix(x[name]) for x in own]
                        columns = variance_columns(k.shape[1], group.width)
                        covariances = fit.posterior.covariances(k[:, columns], sizes, priors)
                    answers.add(group, k @ fit.weights + fit.offsets, covariances, start)
                progress.advance(items=range(start, stop))
        return answers

    def _chosen(self, structures: Sequence[Atoms], data: Data, job: Job) -> WignerSettings:
        """Return the settings of the grid that predict matrices best, however structures are turned or renumbered."""
        if not self.given.leaves_choice:
            return self.given
        size = min(len(structures), MOST_TO_CHOOSE)
        while True:
            chosen = evenly_spaced(len(structures), size)
            part = data.part(np.array(chosen))
            if size <= FEWEST_FOLDS or gigabytes(max(map(len, part.values.values()))) <= self.settings.memory_gb:
                break
            size //= 2
        some = [structures[k] for k in chosen]

        def error_of(settings: WignerSettings) -> float:
            return self._error(settings, some, part, job)

        return choose(self.given, error_of, f"{self.settings.measure.upper()} of an element, meV,", job)

    def _error(self, settings: WignerSettings, structures: Sequence[Atoms], data: Data, job: Job) -> float:
        """Return the error of matrix elements left out, meV; SingularKernel for kernels that are."""
        kernel = self.new_kernel(settings).fit(structures)
        centres = kernel.centres(structures)
        power = 2 if self.settings.measure == "rmse" else 1
        total, n_elements = 0.0, 0.0
        with scratch_folder(job.scratch) as folder:
            tiles = KernelTiles(kernel, centres, centres, wanted_of(data.groups), folder, is_symmetric=True)
            for _ in tiles.compute(job.executor):
                pass
            for group, fit in fits_of_groups(tiles, None, data, self.settings, False):
                multiplicity = data.multiplicity(group)
                total += float((np.abs(fit.residuals) ** power).sum(axis=0) @ multiplicity)
                n_elements += len(data.values[group]) * multiplicity.sum()
        return HARTREE_MEV * float((total / n_elements) ** (1 / power))

    def _most_active(self, groups: Iterable[Group]) -> int | dict[str, int]:
        """Return how many active samples of a kind are asked for, or memory holds, at most the usual number."""
        if self.settings.active is not None:
            return self.settings.active
        widest = max((group.width for group in groups), default=1)
        return max(1, min(MOST_ACTIVE, int((self.settings.memory_gb / gigabytes(1)) ** 0.5 / widest)))

    def _is_full(self, n_structures: int) -> bool:
        s = self.settings
        if s.basis is None:
            return s.active is None and s.active_by == "farthest" and n_structures <= MOST_FULL
        return s.basis == "full"


def _warn_of_unreached(wigner: WignerSettings, data: Data) -> None:
    """Warn of blocks whose (L, sigma) no kernel has."""
    for group in data.groups:
        is_zero = float((data.rows(group) ** 2).mean()) < VANISHING
        if not is_zero and not reaches(wigner, group.family.kind, group.L, group.sigma):
            warnings.warn(
                f"no kernel reaches blocks of L = {group.L}, sigma = {group.sigma:+d} ({group.name}, "
                f"{group.family.kind}); they are predicted as zero, and without error bars: raise model.kernel.max_l, "
                "max_nu_centre or max_nu_pair",
                HamlearnWarning,
                stacklevel=4,
            )
