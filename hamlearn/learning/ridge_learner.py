"""All blocks of a Hamiltonian as functions of the geometry: features and one ridge fit per symmetry."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.blocks import BlockCovariance, BlockKey, Blocks, HeldOut
from hamlearn.config import FeatureSettings, ModelSettings
from hamlearn.density import Batch
from hamlearn.errors import ConfigError, HamlearnWarning
from hamlearn.features import Featurizer
from hamlearn.features.featurizer import BatchFeatures
from hamlearn.learning.domain import Domain, families_of
from hamlearn.learning.groups import VANISHING, Answers, Group, check_held_out, group_blocks
from hamlearn.progress import Progress
from hamlearn.regression.ridge import BlockRidge, refit
from hamlearn.regression.ridge_posterior import RidgePosterior
from hamlearn.regression.tiled_qr import factor, merge
from hamlearn.types import Echo, IntArray

if TYPE_CHECKING:
    from ase import Atoms


COPIES = 6
"""Copies of a feature tile alive at the peak: products, their concatenation, the stack for QR and its work space."""


MOST_HELD_OUT = 200
"""Structures that are predicted while left out: enough for a quantile to a few per cent, in bounded memory. With fewer
in the training set every fold is divided for it, as a third of few structures is missed more than one of the new."""

FEWEST_PARTS = 8
"""Least number of parts of such a small training set."""


@dataclass
class BlockModel:
    """Ridge regression of every block on the equivariant features of its symmetry.

    Attributes:
        features: how features are made.
        model: folds, memory, and whether to keep what error bars need.
        featurizer_: fitted radial functions.
        blocks_: for each group its blocks, in the order of the columns of its weights.
        weights_: for each group [feature, block].
        offsets_: for each group the mean of its blocks, subtracted before the fit: zero unless on-site and scalar.
        alphas_: relative regularisation of every block.
        cv_mse_: cross-validated mean squared error per component, Hartree^2.
        posteriors_: for each group how uncertain its weights are; empty without error bars.
        held_out_: predictions of each fold by a model that has not seen it, where the last fit was asked for them.
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
    posteriors_: dict[Group, RidgePosterior] = field(default_factory=dict)
    held_out_: list[HeldOut] = field(default_factory=list)
    feature_seconds_: float = 0.0
    _n_parts: int = field(init=False, default=0, repr=False)

    def __post_init__(self) -> None:
        self.featurizer_ = Featurizer(self.features)

    def fit(
        self,
        structures: Sequence[Atoms],
        blocks: Blocks,
        echo: Echo = None,
        label: str = "fit",
        held_out: bool = False,
        executor: str = "serial",
    ) -> BlockModel:
        """Fit every block that has samples; blocks that vanish identically are not in ``blocks``.

        Args:
            structures: training geometries; cross-validation deals them out to folds at random (fixed seed).
            blocks: their blocks, Hartree.
            echo: receives lines about the progress; None for silence.
            label: begins these lines.
            held_out: also predict structures of each fold, 200 in all, from the others, of at least 8 folds where
                there are fewer structures; radial functions, regularisation and prior variances are those of all.
            executor: not used; features are made in this process.

        Raises:
            ConfigError: if the factors of a group need more than ``memory_gb``, or if there is nothing to hold out.
        """
        n_folds = min(self.model.folds, len(structures))
        if held_out and n_folds < 2:
            raise ConfigError(
                f"error bars are calibrated on structures left out, but there is {len(structures)}; "
                "give at least two training structures, or drop model.error_bars"
            )
        order = np.random.default_rng(0).permutation(len(structures))
        few = held_out and len(structures) < MOST_HELD_OUT
        self._n_parts = n_folds * (min(-(-FEWEST_PARTS // n_folds), len(structures) // n_folds) if few else 1)
        parts = [np.flatnonzero(order % self._n_parts == part) for part in range(self._n_parts)]
        start = time.perf_counter()
        self.featurizer_.fit(Batch.from_atoms(structures[a:b]) for a, b in self._tiles(structures, []))
        self.feature_seconds_ = time.perf_counter() - start
        self.blocks_ = group_blocks(blocks)
        self.weights_.clear()
        self.posteriors_.clear()
        if self.model.error_bars:
            self._check_memory(blocks)
        if held_out:
            check_held_out(structures, self.blocks_, min(len(structures), MOST_HELD_OUT), self.model.memory_gb)
        tests = [_predictable(structures, part, order) for part in parts] if held_out else []
        answers = [Answers([structures[k] for k in test], self.blocks_) for test in tests]
        with Progress(f"{label}, groups of blocks", len(self.blocks_), echo) as progress:
            for group in self.blocks_:
                self._fit_group(group, structures, blocks, parts, n_folds, tests, answers)
                progress.advance()
        self.held_out_ = [HeldOut(t, a.blocks(), a.covariances()) for t, a in zip(tests, answers, strict=True)]
        return self

    def predict(self, structures: Sequence[Atoms], executor: str = "serial") -> Blocks:
        """Return h^L_M = sum_q w_q x_{Mq} of every block and row of new geometries, Hartree.

        Args:
            structures: geometries, Å.
            executor: not used, as in :meth:`fit`.

        Returns:
            Blocks with the samples of all families of these structures, also those without a model; rotating,
            inverting or permuting a structure does the same to its blocks.

        Raises:
            DomainError: for elements, pairs of elements or neighbours not in the training set.
        """
        return self._predict(structures, covariance=False).blocks()

    def predict_with_covariance(
        self, structures: Sequence[Atoms], executor: str = "serial"
    ) -> tuple[Blocks, list[BlockCovariance]]:
        """Return the blocks of new geometries as :meth:`predict` does, and their covariance for each structure.

        The covariance is that of the posterior of the weights and of what the features cannot express; turning,
        inverting or permuting a structure does the same to it.

        Args:
            structures: geometries, Å.
            executor: not used, as in :meth:`fit`.

        Raises:
            ConfigError: if the model was fitted without error bars.
            DomainError: for elements, pairs of elements or neighbours not in the training set.
        """
        if not self.posteriors_:
            raise ConfigError("the model was fitted without error bars; set model.error_bars: true and fit it again")
        answers = self._predict(structures, covariance=True)
        return answers.blocks(), answers.covariances()

    def _predict(self, structures: Sequence[Atoms], covariance: bool) -> Answers:
        self.domain.check(structures)
        answers = Answers(structures, self.blocks_)
        for start, stop in self._tiles(structures, list(answers.groups)):
            features = self.featurizer_.features(Batch.from_atoms(structures[start:stop]))
            for group in answers.groups:
                posterior = self.posteriors_[group] if covariance else None
                _answer(answers, features, group, self.weights_[group], self.offsets_[group], posterior, start)
        return answers

    @property
    def domain(self) -> Domain:
        """What occurred in training."""
        near = set(self.featurizer_.expansion_.environment_)
        return Domain({group.family for group in self.blocks_}, near, self.features.cutoff_angstrom)

    def _fit_group(
        self,
        group: Group,
        structures: Sequence[Atoms],
        blocks: Blocks,
        parts: Sequence[IntArray],
        n_folds: int,
        tests: Sequence[IntArray],
        answers: Sequence[Answers],
    ) -> None:
        """Fit the blocks of one symmetry, and predict those of test structures of every part from the other parts.

        Fold k consists of the parts k, k + n_folds, ...
        """
        keys = self.blocks_[group]
        y = torch.from_numpy(np.stack([blocks.values[key] for key in keys], axis=-1))  # [sample, 2L+1, block]
        offset = y.mean(dim=(0, 1)) if group.has_intercept else torch.zeros(len(keys), dtype=torch.float64)
        owner = blocks.samples[group.family][:, 0]
        factors = [self._factor(structures, group, y - offset, owner, part) for part in parts]
        n_rows = [int(np.isin(owner, part).sum()) * y.shape[1] for part in parts]
        n_features = factors[0].shape[1] - len(keys)
        if not n_features and float((y**2).mean()) > VANISHING:
            warnings.warn(
                f"no feature reaches blocks of L = {group.L}, sigma = {group.sigma:+d} ({group.family.kind}); they are "
                "predicted as zero: raise features.max_l, max_nu_centre or max_nu_pair",
                HamlearnWarning,
                stacklevel=2,
            )
        folds = [merge(factors[k::n_folds]) for k in range(n_folds)] if len(parts) > n_folds else factors
        fit = BlockRidge().fit(folds, [sum(n_rows[k::n_folds]) for k in range(n_folds)], n_features)
        self.weights_[group], self.offsets_[group] = fit.weights.contiguous(), offset
        self.alphas_[group], self.cv_mse_[group] = fit.alphas, fit.cv_mse
        if self.model.error_bars:
            self.posteriors_[group] = fit.posterior
        for held_out, (test, answer) in enumerate(zip(tests, answers, strict=True)):
            if group not in answer.groups:
                continue
            others = [k for k in range(len(parts)) if k != held_out]
            rest = merge(factors[k] for k in others)
            weights, posterior = refit(rest, sum(n_rows[k] for k in others), fit.posterior)
            chosen = [structures[k] for k in test]
            for start, stop in self._tiles(chosen, [group]):
                features = self.featurizer_.features(Batch.from_atoms(chosen[start:stop]))
                _answer(answer, features, group, weights, offset, posterior, start)

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

    def _check_memory(self, blocks: Blocks) -> None:
        """Raise ConfigError if the posteriors of all groups, [feature, row or feature] each, exceed ``memory_gb``."""
        numbers = 0
        for group in self.blocks_:
            q, rows = self._n_features(group), (2 * group.L + 1) * len(blocks.samples[group.family])
            numbers += q * min(q, rows)
        if numbers * 8e-9 > self.model.memory_gb:
            raise ConfigError(
                f"error bars need {numbers * 8e-9:.2g} GB, more than memory_gb = {self.model.memory_gb}; raise "
                "memory_gb, lower features.max_n or max_l, or drop model.error_bars"
            )

    def _tiles(self, structures: Sequence[Atoms], groups: Sequence[Group]) -> Iterator[tuple[int, int]]:
        """Yield ranges of structures whose features and factors stay within ``memory_gb``."""
        f, sizes = self.features, {group: self._n_features(group) for group in groups}
        budget = self.model.memory_gb * 1e9 / 8
        factors = (max(self.model.folds, self._n_parts) + 8) * max([q**2 for q in sizes.values()], default=0)
        factors += sum(posterior.basis.numel() for posterior in self.posteriors_.values())
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


def _predictable(structures: Sequence[Atoms], part: IntArray, order: IntArray) -> IntArray:
    """Return the structures of a part to predict from the others: some at random, of species and pairs seen there."""
    known = Domain(families_of([structures[k] for k in np.setdiff1d(np.arange(len(structures)), part)]))
    inside = [k for k in part if order[k] < MOST_HELD_OUT and not known.lacks(structures[k])]
    return np.array(inside, dtype=np.int64)


def _answer(
    answers: Answers,
    features: BatchFeatures,
    group: Group,
    weights: Tensor,
    offsets: Tensor,
    posterior: RidgePosterior | None,
    start: int,
) -> None:
    """Predict the blocks of a group of the tile of structures that begins at ``start``."""
    terms = features.terms(group.family, (group.L, group.sigma))
    sizes = answers.rows(group, start, start + len(features.batch.numbers))
    covariances = posterior.covariances(terms.tensor().flatten(0, 1), sizes) if posterior else []
    answers.add(group, terms.project(weights) + offsets, covariances, start)
