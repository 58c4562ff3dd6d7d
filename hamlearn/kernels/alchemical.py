"""Similarity of chemical elements: couplings of neighbours and of centres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from hamlearn.density.likeness import ROUNDING, factorised
from hamlearn.errors import ConfigError, DomainError


@dataclass(frozen=True)
class SpeciesCoupling:
    """kappa_{aa'} = sum_J u_{Ja} u_{Ja'}, how alike two elements count; kappa = 1 tells all elements apart.

    Attributes:
        species: atomic numbers [species].
        u: weight of every element in every archetype J [archetype, species]; may require a gradient.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eqs. 48-52.
    """

    species: tuple[int, ...]
    u: Tensor

    def __post_init__(self) -> None:
        if self.u.ndim != 2 or self.u.shape[1] != len(self.species) or len(set(self.species)) < len(self.species):
            raise ConfigError(
                f"a coupling of the species {self.species} got u of shape {tuple(self.u.shape)}; expected different "
                f"species and u [archetype, {len(self.species)}]"
            )

    @classmethod
    def identity(cls, species: Sequence[int]) -> SpeciesCoupling:
        """Return the coupling that tells all elements apart."""
        return cls(tuple(species), torch.eye(len(species), dtype=torch.float64))

    @classmethod
    def from_matrix(cls, species: Sequence[int], kappa: ArrayLike, n_archetypes: int | None = None) -> SpeciesCoupling:
        """Factorise kappa = u^T u, or its best approximation with few archetypes.

        Args:
            species: atomic numbers, in the order of kappa.
            kappa: symmetric, positive semi-definite [species, species].
            n_archetypes: number of archetypes kept, those of the largest eigenvalues; all that do not vanish by
                default.

        Raises:
            ConfigError: if kappa is not symmetric, has a negative eigenvalue or does not fit the species.
        """
        matrix, n = np.asarray(kappa, dtype=np.float64), len(species)
        if matrix.shape != (n, n) or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T, atol=ROUNDING):
            raise ConfigError(
                f"kappa of shape {matrix.shape} for {n} species; expected a finite, symmetric [{n}, {n}] matrix"
            )
        return cls(tuple(species), torch.from_numpy(factorised(matrix)[:n_archetypes]))

    @property
    def matrix(self) -> Tensor:
        """Return kappa [species, species]."""
        return self.u.T @ self.u

    def couple_neighbours(self, density: Tensor, channels: Sequence[int]) -> Tensor:
        """Return the densities of the archetypes, psi_J = sum_a u_{Ja} psi_a [n, (max_l + 1)^2, archetype x radial].

        Their kernel has kappa_{aa'} in place of delta_{aa'}.

        Args:
            density: [n, (max_l + 1)^2, channel x radial], channel slowest, in one radial basis for all elements.
            channels: element of every channel.

        Raises:
            ConfigError: if the channels do not fit the density.
            DomainError: for an element that is not listed.

        Transformation: as the density.
        """
        if len(channels) == 0 or density.shape[2] % len(channels):
            raise ConfigError(f"a density of {density.shape[2]} channels cannot be split over {len(channels)} elements")
        u = self.u[:, self._columns(channels)].to(density)
        by_species = density.unflatten(2, (len(channels), -1))
        return torch.einsum("Ja,iman->imJn", u, by_species).flatten(2)

    def between(self, species_i: Sequence[int], species_j: Sequence[int]) -> Tensor:
        """Return kappa between centres [i, j], the factor of their kernel.

        Multiply the finished kernel, not the one of order 1: powers of that would raise kappa to the same power.

        Args:
            species_i: atomic numbers of the centres [i].
            species_j: atomic numbers of the other centres [j].

        Raises:
            DomainError: for an element that is not listed.
        """
        return self.u[:, self._columns(species_i)].T @ self.u[:, self._columns(species_j)]

    def _columns(self, species: Sequence[int]) -> Tensor:
        place = {z: n for n, z in enumerate(self.species)}
        unknown = sorted({int(z) for z in species} - set(place))
        if unknown:
            raise DomainError(
                f"elements {unknown} have no coupling, only {list(self.species)} have; add their rows and columns"
            )
        return torch.tensor([place[int(z)] for z in species], dtype=torch.int64)
