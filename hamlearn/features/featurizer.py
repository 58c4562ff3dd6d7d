"""Features of every family of atoms and pairs, made once for a tile of structures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from hamlearn.config import CoupledFeatures
from hamlearn.density import DensityExpansion
from hamlearn.features.n_centre import PairFactors, centre_features, pair_features
from hamlearn.features.terms import Terms
from hamlearn.structures.families import Family
from hamlearn.structures.samples import Samples
from hamlearn.types import Irrep


class Features(Protocol):
    """Features of some structures, for all families of atoms and pairs."""

    samples: Samples

    def terms(self, family: Family, irrep: Irrep) -> Terms:
        """Return the features of a family, rows as in ``samples.family(family)``, not multiplied out."""


class Representation(Protocol):
    """What makes features: once for a tile of structures, for all families and symmetries.

    :class:`hamlearn.testing.representation_contract.RepresentationContract` tests what is asked of one.
    """

    def __init__(self, settings: Any) -> None:
        """Take the settings; nothing is fitted yet."""

    def fit(self, batches: Iterable[Samples]) -> Self:
        """Learn what the features need from training structures, one batch at a time."""

    def features(self, samples: Samples) -> Features:
        """Return the features of some structures, differentiable with respect to their positions."""

    def n_features(self, family: Family, irrep: Irrep) -> int:
        """Return the number of features of one symmetry, without making any."""

    def state(self) -> dict[str, Tensor]:
        """Return what was learned, by name."""

    @classmethod
    def from_state(cls, settings: Any, state: Mapping[str, Tensor]) -> Self:
        """Rebuild from settings and :meth:`state`; names of other rooms are passed over."""


class TileFeatures:
    """Features of a tile of structures; densities, pair functions and their couplings are made once for all of them.

    Args:
        expansion: fitted.
        samples: the atoms of the tile.
        settings: orders of the features.
    """

    def __init__(self, expansion: DensityExpansion, samples: Samples, settings: CoupledFeatures) -> None:
        self.expansion, self.samples, self.settings = expansion, samples, settings
        self.densities = expansion.densities(samples)
        self._pairs: dict[tuple[int, int], PairFactors] = {}

    def __call__(self, family: Family, irrep: Irrep) -> Tensor:
        """Return the features of a family, rows as in ``samples.family(family)`` [sample, 2L+1, feature]."""
        return self.terms(family, irrep).tensor()

    def terms(self, family: Family, irrep: Irrep) -> Terms:
        """Return the features of a family not multiplied out: ``terms.project(weights)`` is a linear model's answer.

        Raises:
            DomainError: for a pair of elements that was not in the training set.
        """
        if family.kind == "on_site":
            return centre_features(self._density(family.species_i), irrep, self.settings.max_nu_centre)
        return pair_features(self._factors(family), family.kind, irrep, self.settings.max_nu_pair)

    def _factors(self, family: Family) -> PairFactors:
        """Return the densities and pair functions of a family; plus and minus share them."""
        species = (family.species_i, family.species_j)
        if species not in self._pairs:
            pairs = self.samples.family(family)
            self._pairs[species] = PairFactors(
                self._density(family.species_i)[torch.from_numpy(self.samples.row[pairs.i])],
                self._density(family.species_j)[torch.from_numpy(self.samples.row[pairs.j])],
                self.expansion.pair_functions(self.samples, pairs, species),
            )
        return self._pairs[species]

    def _density(self, species: int) -> Tensor:
        shape = (0, (self.settings.max_l + 1) ** 2, self.expansion.n_channels(species))
        return self.densities.get(species, self.samples.positions.new_zeros(shape))


class Featurizer:
    """Features by Clebsch-Gordan iteration of a density in radial functions fitted to the training set.

    Args:
        settings: the section ``model.features`` of a workflow.

    Features transform as their labels (L, sigma) say, are invariant to translations and follow permutations.
    """

    def __init__(self, settings: CoupledFeatures) -> None:
        self.settings = settings
        self.expansion_ = DensityExpansion(settings, settings.pair_cutoff_angstrom)

    def fit(self, batches: Iterable[Samples]) -> Featurizer:
        """Learn radial functions and scales, one batch of structures at a time."""
        self.expansion_ = DensityExpansion(self.settings, self.settings.pair_cutoff_angstrom).fit(batches)
        return self

    def features(self, samples: Samples) -> TileFeatures:
        """Return the features of structures; call the result with a family and an irrep.

        Raises:
            DomainError: for neighbours that were not in the training set.
        """
        return TileFeatures(self.expansion_, samples, self.settings)

    def n_features(self, family: Family, irrep: Irrep) -> int:
        """Return the number of features of one symmetry, without making any."""
        return self.features(Samples.of([])).terms(family, irrep).n_features

    def state(self) -> dict[str, Tensor]:
        """Return what was learned, by name, for saving."""
        return self.expansion_.state()

    @classmethod
    def from_state(cls, settings: CoupledFeatures, state: Mapping[str, Tensor]) -> Featurizer:
        """Rebuild from :meth:`state`; names of other rooms are passed over."""
        out = cls(settings)
        out.expansion_ = DensityExpansion.from_state(settings, settings.pair_cutoff_angstrom, state)
        return out
