"""Neighbour densities and pair functions in a data-optimal radial basis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hamlearn.angular.harmonics import spherical_harmonics
from hamlearn.config import FeatureSettings
from hamlearn.density.cutoff import radial_scaling, shifted_cosine
from hamlearn.density.gto import splined_integrals
from hamlearn.density.neighbours import Batch
from hamlearn.density.optimal import optimal_contraction
from hamlearn.errors import DomainError
from hamlearn.types import IntArray, SpeciesPair

MAX_PRIMITIVES = 16  # a larger Gaussian basis is linearly dependent in float64


@dataclass
class DensityExpansion:
    """c_{a n l m}(i) = sum_j f(r_ij) R_nl(r_ij) Y_lm(r_ij) over neighbours j of species a, and its single terms g_ij.

    Fitting finds, for every pair of species and l, the radial functions that carry most of the density of the
    training set, and one scale per species that makes the mean squared norm of a density (and of a g_ij) 1.

    Attributes:
        settings: cut-offs, widths and sizes.
        environment_: contraction of the primitives for (centre, neighbour) species [l, primitive, n].
        pair_: the same for g_ij of (smaller, larger) species.

    Both c and g transform as A -> D^l(R) A for R in O(3), are invariant to translations and follow permutations.
    """

    settings: FeatureSettings
    environment_: dict[SpeciesPair, Tensor] = field(default_factory=dict)
    pair_: dict[SpeciesPair, Tensor] = field(default_factory=dict)

    @property
    def n_primitive(self) -> int:
        """Number of primitive radial functions."""
        n = self.settings.max_n
        return max(n, min(2 * n, MAX_PRIMITIVES)) if self.settings.optimal else n

    def fit(self, batches: Iterable[Batch]) -> DensityExpansion:
        """Find radial contractions and scales from the structures of all batches, one batch at a time."""
        both = [(self._environment_covariances(batch), self._pair_covariances(batch)) for batch in batches]
        environment, pairs = [parts[0] for parts in both], [parts[1] for parts in both]
        self.environment_ = _contractions(environment, self.settings, group=lambda key: key[0])
        self.pair_ = _contractions(pairs, self.settings, group=lambda key: key)
        return self

    def channels(self, centre: int) -> list[int]:
        """Return the species seen around a centre within the cut-off, in the order of the feature channels."""
        return sorted(a for z, a in self.environment_ if z == centre)

    def densities(self, batch: Batch) -> dict[int, Tensor]:
        """Return the density of every atom, by species of the atom [atom, (max_l + 1)^2, channel x n].

        Args:
            batch: structures; their atoms keep their order within a species.

        Raises:
            DomainError: for a neighbour of a species never seen around such a centre.
        """
        centre, neighbour = self._within_cutoff(batch)
        self._check_neighbours(batch, centre, neighbour)
        out = {}
        for z in sorted({int(s) for s in batch.species}):
            parts = [
                self._sum_neighbours(batch, centre, neighbour, (z, a), self.environment_[z, a])
                for a in self.channels(z)
            ]
            n_atoms, n_lm = int((batch.species == z).sum()), (self.settings.max_l + 1) ** 2
            out[z] = torch.cat(parts, -1) if parts else torch.zeros((n_atoms, n_lm, 0), dtype=torch.float64)
        return out

    def pair_functions(self, batch: Batch, start: IntArray, end: IntArray, species: SpeciesPair) -> Tensor:
        """Return g_ij = f(r_ij) R_nl(r_ij) Y_lm(r_ij) [pair, (max_l + 1)^2, n]; zero beyond the pair cut-off.

        Args:
            batch: structures.
            start: i of every pair, position in the flat list of atoms [pair].
            end: j of every pair [pair].
            species: of i and j, the smaller atomic number first.
        """
        return self._terms(batch, start, end, self.settings.pair_cutoff_angstrom, self.pair_[species])

    def _within_cutoff(self, batch: Batch) -> tuple[IntArray, IntArray]:
        distance = torch.linalg.norm(batch.vectors(batch.centre, batch.neighbour), dim=1).numpy()
        near = distance < self.settings.cutoff_angstrom
        return batch.centre[near], batch.neighbour[near]

    def _check_neighbours(self, batch: Batch, centre: IntArray, neighbour: IntArray) -> None:
        unknown = sorted(_pairs_of(batch.species[centre], batch.species[neighbour]) - set(self.environment_))
        if unknown:
            raise DomainError(
                f"pairs of elements {unknown} within {self.settings.cutoff_angstrom} Å of each other were never seen "
                "in training; add such molecules to the training set"
            )

    def _sum_neighbours(
        self, batch: Batch, centre: IntArray, neighbour: IntArray, species: SpeciesPair, contraction: Tensor
    ) -> Tensor:
        """Return the sum over neighbours of one species around all atoms of another [atom, lm, n]."""
        chosen = (batch.species[centre] == species[0]) & (batch.species[neighbour] == species[1])
        terms = self._terms(batch, centre[chosen], neighbour[chosen], self.settings.cutoff_angstrom, contraction)
        row = np.cumsum(batch.species == species[0]) - 1  # position among the atoms of the centre's species
        out = torch.zeros((int((batch.species == species[0]).sum()), *terms.shape[1:]), dtype=torch.float64)
        return out.index_add_(0, torch.from_numpy(row[centre[chosen]]), terms)

    def _terms(self, batch: Batch, start: IntArray, end: IntArray, cutoff: float, contraction: Tensor) -> Tensor:
        """Return f(r) R_nl(r) Y_lm(r) of single neighbours [pair, lm, n]."""
        vectors = batch.vectors(start, end)
        radial = torch.einsum("plk,lkn->pln", self._primitives(vectors, cutoff), contraction)
        l_of_lm = torch.tensor([l for l in range(self.settings.max_l + 1) for _ in range(2 * l + 1)])
        return radial[:, l_of_lm] * spherical_harmonics(vectors, self.settings.max_l)[:, :, None]

    def _primitives(self, vectors: Tensor, cutoff: float) -> Tensor:
        """Return the primitive radial functions with cut-off and scaling [pair, l, primitive]."""
        s = self.settings
        r = torch.linalg.norm(vectors, dim=1).numpy()
        spline = splined_integrals(cutoff, s.cutoff_width_angstrom, s.smearing_angstrom, self.n_primitive, s.max_l)
        weight = shifted_cosine(r, cutoff, s.cutoff_width_angstrom) * radial_scaling(r, s.scaling)
        return torch.from_numpy(weight[:, None, None] * spline(np.minimum(r, cutoff)))

    def _environment_covariances(self, batch: Batch) -> dict[SpeciesPair, tuple[Tensor, int]]:
        centre, neighbour = self._within_cutoff(batch)
        seen = _pairs_of(batch.species[centre], batch.species[neighbour])
        uncontracted = self._identity()
        return {
            key: _covariance(self._sum_neighbours(batch, centre, neighbour, key, uncontracted), self.settings.max_l)
            for key in sorted(seen)
        }

    def _pair_covariances(self, batch: Batch) -> dict[SpeciesPair, tuple[Tensor, int]]:
        z_i, z_j = batch.species[batch.centre], batch.species[batch.neighbour]
        out = {}
        for key in sorted((a, b) for a, b in _pairs_of(z_i, z_j) if a <= b):
            chosen = (z_i == key[0]) & (z_j == key[1])
            vectors = batch.vectors(batch.centre[chosen], batch.neighbour[chosen])
            radial = self._primitives(vectors, self.settings.pair_cutoff_angstrom)
            degeneracy = (2 * torch.arange(self.settings.max_l + 1, dtype=torch.float64) + 1) / (4 * torch.pi)
            inside = int((torch.linalg.norm(vectors, dim=1) < self.settings.pair_cutoff_angstrom).sum())
            out[key] = torch.einsum("plk,plq,l->lkq", radial, radial, degeneracy), inside
        return out

    def _identity(self) -> Tensor:
        eye = torch.eye(self.n_primitive, dtype=torch.float64)
        return eye.expand(self.settings.max_l + 1, -1, -1)


def _pairs_of(first: IntArray, second: IntArray) -> set[SpeciesPair]:
    """Return the distinct pairs of two columns."""
    return {(int(a), int(b)) for a, b in np.unique(np.stack([first, second], axis=1), axis=0)}


def _covariance(density: Tensor, max_l: int) -> tuple[Tensor, int]:
    """Return sum over environments and m of c_nlm c_klm [l, n, k], and the number of environments."""
    by_l = [density[:, l * l : (l + 1) ** 2] for l in range(max_l + 1)]
    return torch.stack([torch.einsum("smn,smk->nk", c, c) for c in by_l]), len(density)


def _contractions(
    parts: Sequence[dict[SpeciesPair, tuple[Tensor, int]]],
    settings: FeatureSettings,
    group: Callable[[SpeciesPair], object],
) -> dict[SpeciesPair, Tensor]:
    """Return contractions scaled so that the squared norms of each group of channels add up to 1 on average."""
    total: dict[SpeciesPair, Tensor] = {}
    count: dict[SpeciesPair, int] = {}
    for part in parts:
        for key, (covariance, n) in part.items():
            total[key] = total.get(key, torch.zeros_like(covariance)) + covariance
            count[key] = count.get(key, 0) + n
    norm: dict[object, float] = {}
    contraction = {}
    for key in sorted(total):
        mean = total[key] / max(count[key], 1)
        contraction[key] = optimal_contraction(mean, settings.max_n if settings.optimal else None)
        kept = torch.einsum("lkn,lkq,lqn->", contraction[key], mean, contraction[key])
        norm[group(key)] = norm.get(group(key), 0.0) + float(kept)
    return {key: u / np.sqrt(norm[group(key)]) if norm[group(key)] > 0 else u for key, u in contraction.items()}
