"""Features of the rows of groups, blocks or sums over structures, from densities made once per tile of structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hamlearn.features import Features, Representation
from hamlearn.features.terms import Terms
from hamlearn.learning.groups import Group
from hamlearn.structures.families import Family, numbers_of
from hamlearn.structures.samples import Samples
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


class FeatureRows:
    """Rows (sample, M) or (structure, M) of features of a tile of structures.

    Args:
        representation: fitted; makes the features.
        structures: geometries.
        columns: which features of a group are kept; all of groups not named.
        differentiable: whether :meth:`project_with_slopes` will be asked for.
    """

    def __init__(
        self,
        representation: Representation,
        structures: Sequence[Atoms],
        columns: Mapping[Group, IntArray],
        differentiable: bool = False,
    ) -> None:
        samples = Samples.of(structures)
        self._positions = samples.positions.requires_grad_(differentiable)
        self._features: Features = representation.features(samples)
        self._numbers = numbers_of(structures)
        self._columns = columns

    def n_features(self, group: Group) -> int:
        """Return how many features there are before any choice."""
        return sum(self._terms(family, group).n_features for family in group.families)

    def sizes(self, group: Group) -> list[int]:
        """Return the number of rows of every structure."""
        return [group.n_rows(numbers) for numbers in self._numbers]

    def matrix(self, group: Group) -> FloatArray:
        """Return the features of all rows [row, feature]."""
        parts = [self._summed(self._terms(family, group).tensor(), family, group) for family in group.families]
        x = torch.cat(parts, dim=2).flatten(0, 1).detach().numpy()
        return x[:, self._columns[group]] if group in self._columns else x

    def project(self, group: Group, weights: FloatArray) -> FloatArray:
        """Return ``matrix(group) @ weights`` [row, target], without making the matrix."""
        return self._project(group, weights).detach().numpy()

    def project_with_slopes(self, group: Group, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the same, and derivatives of the sum of all rows: of sums, each structure's own [atom, 3]."""
        rows = self._project(group, weights)
        (slopes,) = torch.autograd.grad(rows.sum(), self._positions)
        return rows.detach().numpy(), slopes.numpy()

    def _project(self, group: Group, weights: FloatArray) -> Tensor:
        w = torch.from_numpy(self._spread(group, weights))
        out, start = [], 0
        for family in group.families:
            terms = self._terms(family, group)
            own = w[start : start + terms.n_features]
            out.append(self._summed(terms.project(own), family, group))
            start += terms.n_features
        return torch.stack(out).sum(dim=0).flatten(0, 1)

    def _spread(self, group: Group, weights: FloatArray) -> FloatArray:
        """Return weights of all features from those of the features kept."""
        if group not in self._columns:
            return weights
        out = np.zeros((self.n_features(group), weights.shape[1]))
        out[self._columns[group]] = weights
        return out

    def _terms(self, family: Family, group: Group) -> Terms:
        return self._features.terms(family, group.irrep)

    def _summed(self, values: Tensor, family: Family, group: Group) -> Tensor:
        """Return rows of samples [sample, M, ...] as they are, or summed over the samples of each structure."""
        if not group.is_sum:
            return values
        owner = torch.from_numpy(family.samples(self._numbers)[:, 0])
        out = values.new_zeros((len(self._numbers), *values.shape[1:]))
        return out.index_add(0, owner, values)
