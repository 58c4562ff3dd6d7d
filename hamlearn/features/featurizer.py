"""Features of every family of atoms and pairs, for batches of structures."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from hamlearn.config import FeatureSettings
from hamlearn.density import Batch, DensityExpansion
from hamlearn.errors import DomainError
from hamlearn.features.n_centre import centre_features, pair_features
from hamlearn.features.terms import Terms
from hamlearn.structures.samples import Family
from hamlearn.types import Irrep


class BatchFeatures:
    """Features of one batch, made family by family from densities computed once."""

    def __init__(self, expansion: DensityExpansion, batch: Batch) -> None:
        self.expansion, self.batch = expansion, batch
        self.densities = expansion.densities(batch)
        self._row = np.zeros(len(batch.species), dtype=np.int64)  # position among atoms of the same species
        for z in self.densities:
            chosen = batch.species == z
            self._row[chosen] = np.arange(int(chosen.sum()))

    def __call__(self, family: Family, irrep: Irrep) -> Tensor:
        """Return the features of a family, rows as in ``family.samples`` [sample, 2L+1, feature]."""
        return self.terms(family, irrep).tensor()

    def terms(self, family: Family, irrep: Irrep) -> Terms:
        """Return the features of a family not multiplied out: ``terms.project(weights)`` is a linear model's answer."""
        settings, batch = self.expansion.settings, self.batch
        if family.kind == "on_site":
            return centre_features(self._density(family.species_i), irrep, settings.max_nu_centre)
        samples = family.samples(batch.numbers)
        start, end = batch.flat_atoms(samples, 1), batch.flat_atoms(samples, 2)
        species = (family.species_i, family.species_j)
        if species not in self.expansion.pair_ and len(samples):
            raise DomainError(
                f"pairs of elements {species} were never seen in training; add molecules with both to the training set"
            )
        return pair_features(
            self._density(family.species_i)[self._row[start]],
            self._density(family.species_j)[self._row[end]],
            self.expansion.pair_functions(batch, start, end, species),
            family.kind,
            irrep,
            settings.max_nu_pair,
        )

    def _density(self, species: int) -> Tensor:
        n_channel = len(self.expansion.channels(species)) * self.expansion.settings.max_n
        empty = torch.zeros((0, (self.expansion.settings.max_l + 1) ** 2, n_channel), dtype=torch.float64)
        return self.densities.get(species, empty)


class Featurizer:
    """Learns radial functions and scales on a training set and makes features of any structures.

    Args:
        settings: the features section of a workflow.
    """

    def __init__(self, settings: FeatureSettings) -> None:
        self.settings = settings
        self.expansion_ = DensityExpansion(settings)

    def fit(self, batches: Iterable[Batch]) -> Featurizer:
        """Learn radial functions and scales."""
        self.expansion_ = DensityExpansion(self.settings).fit(batches)
        return self

    def features(self, batch: Batch) -> BatchFeatures:
        """Return the features of a batch; call the result with a family and an irrep."""
        return BatchFeatures(self.expansion_, batch)

    def tensors(self) -> dict[str, Tensor]:
        """Return what was learned, by name, for saving."""
        e = self.expansion_
        named = {f"density.{z}.{a}": u for (z, a), u in e.environment_.items()}
        return named | {f"pair.{z}.{a}": u for (z, a), u in e.pair_.items()}

    @classmethod
    def from_tensors(cls, settings: FeatureSettings, tensors: dict[str, Tensor]) -> Featurizer:
        """Rebuild from :meth:`tensors`; names of other rooms are passed over."""
        out = cls(settings)
        for name, tensor in tensors.items():
            room, *species = name.split(".")
            if room in ("density", "pair"):
                z, a = (int(s) for s in species)
                (out.expansion_.environment_ if room == "density" else out.expansion_.pair_)[z, a] = tensor
        return out
