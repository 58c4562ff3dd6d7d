"""All blocks of a Hamiltonian as functions of the geometry: Wigner kernels of atoms and atom pairs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.blocks import BlockCovariance, BlockKey, Blocks, HeldOut
from hamlearn.config import ModelSettings, WignerSettings
from hamlearn.errors import ConfigError, HamlearnWarning
from hamlearn.kernels import BlockKernel, Centres
from hamlearn.kernels.block_kernel import check_mixtures
from hamlearn.kernels.block_tiles import reaches
from hamlearn.learning.active import active_counts, check_active, choose_active, family_counts, family_name
from hamlearn.learning.choice import choose_wigner, grid_of
from hamlearn.learning.domain import LIKENESS, Domain, warn_of_far_pairs
from hamlearn.learning.groups import VANISHING, Answers, Group, check_held_out, group_blocks
from hamlearn.learning.kernel_training import (
    Data,
    check_memory,
    fit_groups,
    gigabytes,
    held_fraction,
    held_out_answers,
)
from hamlearn.learning.rows import as_matrix, kernel_rows, self_kernels, wanted_of
from hamlearn.learning.tiles import KernelTiles, scratch_folder
from hamlearn.regression.kernel_fit import GroupFit, variance_columns
from hamlearn.types import Echo

if TYPE_CHECKING:
    from ase import Atoms

MOST_FULL = 200
"""Structures up to which every sample is in the basis, unless settings say otherwise."""

MOST_ACTIVE = 2000
"""Active samples of every family of a sparse model, unless settings say otherwise or memory holds fewer."""


@dataclass
class KernelBlockModel:
    """h^L_M(A) = sum_{B M'} k^{L sigma}_{MM'}(A, B) x_{B M'} for every block, with the kernels of a BlockKernel.

    Attributes:
        wigner: the kernels; a fit puts what it chose of a grid in its place.
        model: basis, folds, memory, error bars.
        scratch: folder that keeps the kernels of fits and predictions, so that a fit that was killed goes on and models
            of other values of the same blocks find them; None: those of a fit go to a temporary one.
        new_kernel: makes the kernels; another one may look up what it computed before.
        kernel_: fitted densities and norms.
        active_: samples of the basis: of all training structures, or an active set.
        blocks_: for each group of equal symmetry its blocks, in the order of the columns of its weights.
        weights_: for each group [row of the basis, block].
        offsets_: for each group the mean of its blocks, subtracted before the fit: zero unless on-site and scalar.
        alphas_: regularisation of every block, relative to the mean diagonal of the kernel.
        cv_mse_: cross-validated mean squared error per component, Hartree^2.
        factors_: for each group the factor of the variance [column, r]; empty without error bars.
        scales_: for each group the prior variance of every block, Hartree^2 [block]; empty without error bars.
        held_out_: predictions of structures by a model that has not seen them, where the last fit was asked for them.
        feature_seconds_: zero, kernels are not made apart from the fit.

    Predicted blocks transform exactly as irreps: h(R A) = s D^L(R) h(A).

    Source: kernels on O(3) as in Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), extended to pairs;
    blocks as in Nigam, Willatt, Ceriotti, J. Chem. Phys. 156, 014115 (2022), eq. 28.
    """

    wigner: WignerSettings
    model: ModelSettings
    scratch: Path | None = None
    new_kernel: Callable[[WignerSettings], BlockKernel] = BlockKernel
    kernel_: BlockKernel = field(init=False)
    active_: Centres = field(init=False)
    blocks_: dict[Group, list[BlockKey]] = field(default_factory=dict)
    weights_: dict[Group, Tensor] = field(default_factory=dict)
    offsets_: dict[Group, Tensor] = field(default_factory=dict)
    alphas_: dict[Group, Tensor] = field(default_factory=dict)
    cv_mse_: dict[Group, Tensor] = field(default_factory=dict)
    factors_: dict[Group, Tensor] = field(default_factory=dict)
    scales_: dict[Group, Tensor] = field(default_factory=dict)
    held_out_: list[HeldOut] = field(default_factory=list)
    feature_seconds_: float = 0.0

    def fit(
        self,
        structures: Sequence[Atoms],
        blocks: Blocks,
        echo: Echo = None,
        label: str = "fit",
        held_out: bool = False,
        executor: str = "serial",
    ) -> KernelBlockModel:
        """Fit every block that has samples; blocks that vanish identically are not in ``blocks``.

        Args:
            structures: training geometries; cross-validation deals them out to folds at random (fixed seed).
            blocks: their blocks, Hartree.
            echo: receives lines about the progress; None for silence.
            label: begins these lines.
            held_out: also keep predictions of structures by a model that has not seen them.
            executor: where tiles of kernels are computed; see :func:`hamlearn.parallel.open_executor`.

        Raises:
            ConfigError: if kernel matrices need more than ``memory_gb``, or if there is nothing to hold out.
        """
        groups = group_blocks(blocks)
        self.check(structures, groups, held_out)
        self.blocks_ = groups
        is_full, variance = self._is_full(len(structures)), held_out or self.model.error_bars
        self.wigner = choose_wigner(self.wigner, self.model, structures, blocks, echo, executor, self.scratch)
        warn_of_far_pairs(structures, self.wigner.pair_cutoff_angstrom)
        self.kernel_ = self.new_kernel(self.wigner).fit(structures)
        centres = self.kernel_.centres(structures)
        data = Data(self.blocks_, blocks, len(structures), self.model.folds)
        self.active_, active = centres, None
        if not is_full:
            choice = self.model.active_by, executor, echo, self.scratch
            self.active_, active = choose_active(self.kernel_, centres, self._most_active(self.blocks_), *choice)
            if echo is not None:
                echo(f"{label}, active set: {', '.join(f'{name} {n}' for name, n in self.basis_counts().items())}")
        wanted = wanted_of(self.blocks_)
        with scratch_folder(self.scratch) as folder:
            tiles = KernelTiles(self.kernel_, centres, self.active_, wanted, folder, is_symmetric=is_full)
            fits = fit_groups(tiles, active, data, variance, echo, label, executor)
        self._keep(fits, data)
        _warn_of_unreached(self.wigner, data)
        self.held_out_ = [held_out_answers(structures, data, fits)] if held_out else []
        return self

    def check(
        self,
        structures: Sequence[Atoms],
        groups: Mapping[Group, Sequence[BlockKey]] = MappingProxyType({}),
        held_out: bool = False,
    ) -> None:
        """Refuse what cannot be fitted, before anything is computed.

        Args:
            structures: training geometries.
            groups: the blocks to be fitted.
            held_out: whether structures will be left out.

        Raises:
            ConfigError: for a single structure where some must be left out, an active set larger than the data, kernels
                or covariances of structures left out that need more than ``memory_gb``, a grid of settings that are
                not acceptable, or mixtures that break positivity.
        """
        is_full = self._is_full(len(structures))
        if len(structures) < 2 and (held_out or self.model.error_bars or not is_full or self.wigner.grid is not None):
            raise ConfigError(
                f"error bars, an active set and wigner.grid need structures that can be left out, but there is "
                f"{len(structures)}; give at least two training structures, or drop these settings"
            )
        if self.model.active is not None:
            check_active(self.model.active, structures)
        counts = family_counts(structures)
        present = {group: keys for group, keys in groups.items() if group.family in counts}
        fraction = 1.0 if is_full else held_fraction(len(structures), self.model.folds)
        if is_full:
            check_memory(present, counts, self.model.memory_gb)
        else:
            basis = active_counts(counts, self._most_active(present))
            held = {family: math.ceil(fraction * n) for family, n in counts.items()}
            check_memory(present, basis, self.model.memory_gb, held)
        if held_out:
            check_held_out(structures, present, math.ceil(fraction * len(structures)), self.model.memory_gb)
        for settings in grid_of(self.wigner):
            check_mixtures(settings, structures)

    def predict(self, structures: Sequence[Atoms], executor: str = "serial") -> Blocks:
        """Return h^L_M = sum k^{L sigma}_{MM'} x of every block and row of new geometries, Hartree.

        Args:
            structures: geometries, Å.
            executor: where tiles of kernels are computed.

        Returns:
            Blocks with the samples of all families of these structures, also those without a model; rotating,
            inverting or permuting a structure does the same to its blocks.

        Raises:
            DomainError: for elements, pairs of elements or neighbours not in the training set.
        """
        return self._predict(structures, executor, covariance=False).blocks()

    def predict_with_covariance(
        self, structures: Sequence[Atoms], executor: str = "serial"
    ) -> tuple[Blocks, list[BlockCovariance]]:
        """Return the blocks of new geometries as :meth:`predict` does, and their covariance for each structure.

        Raises:
            ConfigError: if the model was fitted without error bars.
            DomainError: for elements, pairs of elements or neighbours not in the training set.
        """
        if not self.factors_:
            raise ConfigError("the model was fitted without error bars; set model.error_bars: true and fit it again")
        answers = self._predict(structures, executor, covariance=True)
        return answers.blocks(), answers.covariances()

    def _predict(self, structures: Sequence[Atoms], executor: str, covariance: bool) -> Answers:
        self.domain.check(structures)
        answers = Answers(structures, self.blocks_)
        wanted = wanted_of(answers.groups)
        centres = self.kernel_.centres(structures)
        done: list[tuple[int, dict[Group, tuple[Tensor, list[Tensor]]]]] = []
        if self.scratch is None:
            tiles = kernel_rows(self.kernel_, centres, self.active_, wanted, executor)
        else:
            tiles = KernelTiles(self.kernel_, centres, self.active_, wanted, self.scratch).tiles(executor)
        for start, stop, kernels in tiles:
            own = self_kernels(self.kernel_, centres, range(start, stop), wanted) if covariance else []
            tile = {}
            for group in answers.groups:
                name = group.family, (group.L, group.sigma)
                k = torch.from_numpy(as_matrix(kernels.pop(name)))
                values = (k @ self.weights_[group] + self.offsets_[group]).unflatten(0, (-1, 2 * group.L + 1))
                priors = [torch.from_numpy(as_matrix(x[name])) for x in own]
                sizes = answers.rows(group, start, stop)
                tile[group] = values, self._covariances(group, k, priors, sizes) if covariance else []
            done.append((start, tile))
        for start, tile in sorted(done, key=lambda each: each[0]):
            for group, (values, covariances) in tile.items():
                answers.add(group, values, covariances, start)
        return answers

    def _covariances(self, group: Group, k: Tensor, priors: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        """Return s^2 (k(*, *) - (k F)(k F)^T) of every block of some structures [block, row, row]."""
        columns = torch.from_numpy(variance_columns(k.shape[1], 2 * group.L + 1))
        reduced = k[:, columns] @ self.factors_[group]
        scales = self.scales_[group][:, None, None]
        parts = zip(priors, reduced.split(list(sizes)), strict=True)
        return [scales * (prior - part @ part.T) for prior, part in parts]

    @property
    def domain(self) -> Domain:
        """What occurred in training."""
        contractions = self.kernel_.environments_.expansion_.contraction_
        near = {pair for pair, contraction in contractions.items() if contraction.any()}
        return Domain({group.family for group in self.blocks_}, near, self.wigner.cutoff_angstrom, LIKENESS)

    def basis_counts(self) -> dict[str, int]:
        """Return how many atoms of each element and pairs of each two are in the basis."""
        families = {group.family for group in self.blocks_ if group.family.kind != "minus"}
        ordered = sorted(families, key=lambda f: (f.kind != "on_site", f.species_i, f.species_j))
        return {family_name(f): n for f in ordered if (n := self.active_.count(f))}

    def alpha_of_block(self) -> dict[BlockKey, float]:
        """Return the relative regularisation chosen for every block."""
        return {
            key: alpha
            for group, keys in self.blocks_.items()
            for key, alpha in zip(keys, self.alphas_[group].tolist(), strict=True)
        }

    def _most_active(self, groups: Iterable[Group]) -> int | dict[str, int]:
        """Return how many active samples of a kind are asked for, or memory holds, at most the usual number."""
        if self.model.active is not None:
            return self.model.active
        widest = max((2 * group.L + 1 for group in groups), default=1)
        return max(1, min(MOST_ACTIVE, int((self.model.memory_gb / gigabytes(1)) ** 0.5 / widest)))

    def _is_full(self, n_structures: int) -> bool:
        if self.model.basis is None:
            is_asked_for = self.model.active is not None or self.model.active_by != "farthest"
            return not is_asked_for and n_structures <= MOST_FULL
        return self.model.basis == "full"

    def _keep(self, fits: Mapping[Group, GroupFit], data: Data) -> None:
        """Take over what was fitted."""
        for kept in (self.weights_, self.offsets_, self.alphas_, self.cv_mse_, self.factors_, self.scales_):
            kept.clear()
        for group, fit in fits.items():
            self.weights_[group] = torch.from_numpy(np.ascontiguousarray(fit.weights))
            self.offsets_[group] = torch.from_numpy(data.offset(group))
            self.alphas_[group], self.cv_mse_[group] = torch.from_numpy(fit.alphas), torch.from_numpy(fit.cv_mse)
            if fit.variance is not None:
                self.factors_[group] = torch.from_numpy(np.ascontiguousarray(fit.variance))
                self.scales_[group] = torch.from_numpy(fit.scales)


def _warn_of_unreached(wigner: WignerSettings, data: Data) -> None:
    """Warn of blocks whose (L, sigma) no kernel has."""
    for group in data.groups:
        is_zero = float((data.rows(group) ** 2).mean()) < VANISHING
        if not is_zero and not reaches(wigner, group.family.kind, group.L, group.sigma):
            warnings.warn(
                f"no kernel reaches blocks of L = {group.L}, sigma = {group.sigma:+d} ({family_name(group.family)}, "
                f"{group.family.kind}); they are predicted as zero, and without error bars: raise wigner.max_l, "
                "max_nu_centre or max_nu_pair",
                HamlearnWarning,
                stacklevel=3,
            )
