"""All blocks of a Hamiltonian as functions of the geometry: features and one ridge fit per symmetry."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hamlearn.blocks import BlockKey, Blocks
from hamlearn.blocks.keys import families
from hamlearn.config import FeatureSettings, ModelSettings
from hamlearn.density import Batch
from hamlearn.errors import ConfigError, HamlearnWarning
from hamlearn.features import Featurizer
from hamlearn.models.block_ridge import BlockRidge
from hamlearn.models.domain import check_domain
from hamlearn.models.tiled_qr import factor, merge
from hamlearn.progress import Progress
from hamlearn.structures.samples import Family

if TYPE_CHECKING:
    from ase import Atoms

IntArray = NDArray[np.int64]

COPIES = 6
"""Copies of a feature tile alive at the peak: products, their concatenation, the stack for QR and its work space."""


VANISHING = 1e-16
"""Mean square, Hartree^2, below which a block is zero by the symmetry of the molecules."""


@dataclass(frozen=True, order=True)
class Group:
    """Blocks regressed on the same features."""

    family: Family
    L: int
    sigma: int


@dataclass
class BlockModel:
    """Ridge regression of every block on the equivariant features of its symmetry.

    Attributes:
        features: how features are made.
        model: folds and memory.
        featurizer_: fitted radial functions.
        blocks_: for each group its blocks, in the order of the columns of its weights.
        weights_: for each group [feature, block].
        offsets_: for each group the mean of its blocks, subtracted before the fit: zero unless on-site and scalar.
        alphas_: relative regularisation of every block.
        cv_mse_: cross-validated mean squared error per component, Hartree^2.
        feature_seconds_: time the last fit spent on features.

    Predicted blocks transform exactly as the features: h(R A) = s D^L(R) h(A).
    """

    features: FeatureSettings
    model: ModelSettings
    featurizer_: Featurizer = field(init=False)
    blocks_: dict[Group, list[BlockKey]] = field(default_factory=dict)
    weights_: dict[Group, Tensor] = field(default_factory=dict)
    offsets_: dict[Group, Tensor] = field(default_factory=dict)
    alphas_: dict[Group, Tensor] = field(default_factory=dict)
    cv_mse_: dict[Group, Tensor] = field(default_factory=dict)
    feature_seconds_: float = 0.0

    def __post_init__(self) -> None:
        self.featurizer_ = Featurizer(self.features)

    def fit(
        self,
        structures: Sequence[Atoms],
        blocks: Blocks,
        echo: Callable[[str], object] | None = None,
        label: str = "fit",
    ) -> BlockModel:
        """Fit every block that has samples; blocks that vanish identically are not in ``blocks``.

        Args:
            structures: training geometries; cross-validation deals them out to folds at random (fixed seed).
            blocks: their blocks, Hartree.
            echo: receives lines about the progress; None for silence.
            label: begins these lines.

        Raises:
            ConfigError: if the factors of a group need more than ``memory_gb``.
        """
        n_folds = min(self.model.folds, len(structures))
        fold_of = np.random.default_rng(0).permutation(len(structures)) % n_folds
        start = time.perf_counter()
        self.featurizer_.fit(Batch.from_atoms(structures[a:b]) for a, b in self._tiles(structures, []))
        self.feature_seconds_ = time.perf_counter() - start
        self.blocks_ = _group(blocks)
        self.weights_.clear()
        with Progress(label, len(self.blocks_), echo) as progress:
            for group in self.blocks_:
                self._fit_group(group, structures, blocks, fold_of)
                progress.advance()
        return self

    def predict(self, structures: Sequence[Atoms]) -> Blocks:
        """Return h^L_M = sum_q w_q x_{Mq} of every block and row of new geometries, Hartree.

        Args:
            structures: geometries, Å.

        Returns:
            Blocks with the samples of all families of these structures, also those without a model; rotating,
            inverting or permuting a structure does the same to its blocks.

        Raises:
            DomainError: for elements or pairs of elements not in the training set.
        """
        check_domain(structures, {group.family for group in self.blocks_}, self.features.pair_cutoff_angstrom)
        numbers = [np.asarray(atoms.numbers, dtype=np.int64) for atoms in structures]
        species = sorted({int(z) for zs in numbers for z in zs})
        samples = {family: family.samples(numbers) for family in families(species)}
        groups = [group for group in self.blocks_ if group.family in samples]
        parts: dict[BlockKey, list[Tensor]] = {key: [] for group in groups for key in self.blocks_[group]}
        for start, stop in self._tiles(structures, groups):
            features = self.featurizer_.features(Batch.from_atoms(structures[start:stop]))
            for group in groups:
                terms = features.terms(group.family, (group.L, group.sigma))
                values = terms.project(self.weights_[group]) + self.offsets_[group]
                for column, key in enumerate(self.blocks_[group]):
                    parts[key].append(values[:, :, column])
        return Blocks(samples, {key: torch.cat(tiles).numpy() for key, tiles in parts.items()})

    def _fit_group(self, group: Group, structures: Sequence[Atoms], blocks: Blocks, fold_of: IntArray) -> None:
        """Fit the blocks of one symmetry."""
        keys = self.blocks_[group]
        y = torch.from_numpy(np.stack([blocks.values[key] for key in keys], axis=-1))  # [sample, 2L+1, block]
        offset = y.mean(dim=(0, 1)) if _has_intercept(group) else torch.zeros(len(keys), dtype=torch.float64)
        owner = blocks.samples[group.family][:, 0]
        members = [np.flatnonzero(fold_of == fold) for fold in range(fold_of.max() + 1)]
        folds = [self._factor(structures, group, y - offset, owner, m) for m in members]
        n_rows = [int((fold_of[owner] == fold).sum()) * y.shape[1] for fold in range(len(folds))]
        n_features = folds[0].shape[1] - len(keys)
        if not n_features and float((y**2).mean()) > VANISHING:
            warnings.warn(
                f"no feature reaches blocks of L = {group.L}, sigma = {group.sigma:+d} ({group.family.kind}); they are "
                "predicted as zero: raise features.max_l, max_nu_centre or max_nu_pair",
                HamlearnWarning,
                stacklevel=2,
            )
        fit = BlockRidge().fit(folds, n_rows, n_features)
        self.weights_[group], self.offsets_[group] = fit.weights.contiguous(), offset
        self.alphas_[group], self.cv_mse_[group] = fit.alphas, fit.cv_mse

    def alpha_of_block(self) -> dict[BlockKey, float]:
        """Return the relative regularisation chosen for every block."""
        return {
            key: alpha
            for group, keys in self.blocks_.items()
            for key, alpha in zip(keys, self.alphas_[group].tolist(), strict=True)
        }

    def _factor(
        self, structures: Sequence[Atoms], group: Group, y: Tensor, owner: IntArray, members: IntArray
    ) -> Tensor:
        """Return the triangular factor of the rows of one fold, tile by tile."""
        chosen = [structures[int(k)] for k in members]
        out = torch.zeros((0, self._n_features(group) + y.shape[2]), dtype=torch.float64)
        for start, stop in self._tiles(chosen, [group]):
            clock = time.perf_counter()
            x = self.featurizer_.features(Batch.from_atoms(chosen[start:stop]))(group.family, (group.L, group.sigma))
            self.feature_seconds_ += time.perf_counter() - clock
            rows = torch.from_numpy(np.isin(owner, members[start:stop]))
            tile = factor(x.flatten(0, 1), y[rows].flatten(0, 1))
            out = merge([out, tile])
        return out

    def _n_features(self, group: Group) -> int:
        """Return how many features a group has, before the fit from a batch without structures."""
        if group in self.weights_:
            return len(self.weights_[group])
        return self.featurizer_.features(Batch.from_atoms([])).terms(group.family, (group.L, group.sigma)).n_features

    def _tiles(self, structures: Sequence[Atoms], groups: Sequence[Group]) -> Iterator[tuple[int, int]]:
        """Yield ranges of structures whose features and factors stay within ``memory_gb``."""
        f, sizes = self.features, {group: self._n_features(group) for group in groups}
        budget = self.model.memory_gb * 1e9 / 8
        factors = (self.model.folds + 8) * max([q**2 for q in sizes.values()], default=0)
        if factors > budget:
            raise ConfigError(
                f"{max(sizes.values())} features need factors of {factors * 8e-9:.2g} GB, more than memory_gb = "
                f"{self.model.memory_gb}; raise memory_gb, or lower features.max_n or max_l"
            )
        n = max([len(atoms) for atoms in structures], default=1)
        n_species = len({int(z) for atoms in structures for z in atoms.numbers})
        n_radial = max(f.max_n, self.featurizer_.expansion_.n_primitive)
        densities = 3 * n * n * (f.max_l + 1) ** 2 * n_radial * max(n_species, 1)  # and what is gathered for pairs
        samples = {group: n if group.family.kind == "on_site" else n * n for group in groups}  # at most
        products = max([(2 * g.L + 1) * q * samples[g] for g, q in sizes.items()], default=0)
        step = max(1, int((budget - factors) / (COPIES * products + densities)))
        for start in range(0, len(structures), step):
            yield start, min(start + step, len(structures))


def _has_intercept(group: Group) -> bool:
    return group.family.kind == "on_site" and (group.L, group.sigma) == (0, 1)


def _group(blocks: Blocks) -> dict[Group, list[BlockKey]]:
    """Return the blocks that have samples, by the features they need."""
    out: dict[Group, list[BlockKey]] = {}
    for key in sorted(blocks.values):
        if len(blocks.samples[key.family]):
            out.setdefault(Group(key.family, key.L, key.sigma), []).append(key)
    return out
