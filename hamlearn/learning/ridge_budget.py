"""How many structures and groups ridge regression takes at a time, so that features and factors fit into memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hamlearn.config import RidgeSettings
from hamlearn.features import Featurizer
from hamlearn.learning.data import Data
from hamlearn.learning.fitted import Fitted
from hamlearn.learning.groups import Group, in_lots
from hamlearn.learning.limits import refuse_beyond
from hamlearn.types import IntArray

if TYPE_CHECKING:
    from ase import Atoms

MOST_STRUCTURES = 128
"""In a tile, however large the memory: more are no faster."""

COPIES = 6
"""Copies of a feature tile alive at the peak: products, their concatenation, the stack for QR and its work space."""

GRAPH = 3
"""Times as much memory as values that derivatives take, measured."""

EXTRA_FACTORS = 8
"""Factors of the largest group alive at the peak of its fit, beside those of its parts."""

REMEDY = "raise memory_gb, lower model.features.max_n or max_l"


@dataclass(frozen=True)
class RidgeBudget:
    """What there is to fit into ``memory_gb``.

    Attributes:
        settings: of the learner.
        featurizer: fitted.
        columns: which features of a group are kept, of those chosen so far.
        fits: what is known of groups so far.
    """

    settings: RidgeSettings
    featurizer: Featurizer
    columns: Mapping[Group, IntArray]
    fits: Mapping[Group, Fitted]

    def n_features(self, group: Group) -> int:
        """Return how many features a group has, before any choice."""
        return sum(self.featurizer.n_features(family, group.irrep) for family in group.families)

    def n_kept(self, group: Group) -> int:
        """Return how many features of a group are kept at most."""
        if group in self.columns:
            return len(self.columns[group])
        return min(self.n_features(group), self.settings.max_features or sys.maxsize)

    def lots(self, data: Data, n_parts: int, held_out: bool) -> Iterator[list[Group]]:
        """Yield groups whose factors fit into memory together, largest groups with others as they come.

        Raises:
            ConfigError: if what error bars need of all groups, [feature, row or feature] each, exceeds ``memory_gb``,
                or the factor of a group from which features are chosen does.
        """
        most, sizes, posteriors = self.settings.memory_gb, [], 0
        for group in data.groups:
            q, t = self.n_kept(group), data.n_targets[group]
            if q < self.n_features(group):
                self.check_factors([self.n_features(group)], 1)
            sizes.append(8e-9 * n_parts * (q + t) ** 2)
            posteriors += q * min(q, len(data.values[group]))
        if held_out or self.settings.error_bars:
            remedy = f"{REMEDY}, set model.max_features, or drop model.error_bars"
            refuse_beyond(most, 8e-9 * posteriors, "error bars need", remedy)
        groups = data.groups
        for start, stop in in_lots(sizes, 0.5 * most):
            yield groups[start:stop]

    def check_factors(self, sizes: Sequence[int], n_parts: int) -> float:
        """Return the memory of factors of so many features in so many parts, and of posteriors that are there, GB.

        Raises:
            ConfigError: if it exceeds ``memory_gb``.
        """
        needed = factor_gigabytes(sizes, n_parts)
        needed += 8e-9 * sum(fit.posterior.directions.size for fit in self.fits.values() if fit.posterior)
        remedy = REMEDY if self.settings.max_features else f"{REMEDY}, or set model.max_features"
        what = f"{max(sizes)} features need factors of" if sizes else "error bars need"
        refuse_beyond(self.settings.memory_gb, needed, what, remedy)
        return needed

    def tiles(
        self,
        structures: Sequence[Atoms],
        groups: Sequence[Group],
        sizes: Sequence[int] = (),
        n_parts: int = 1,
        copies: int = 1,
    ) -> Iterator[tuple[int, int]]:
        """Yield ranges of structures whose features and factors stay within ``memory_gb``.

        Args:
            structures: geometries.
            groups: whose features are made.
            sizes: columns of the factors that are filled.
            n_parts: parts that have factors of their own.
            copies: of the features and all they are made of that are alive.

        Raises:
            ConfigError: if the factors alone do not.
        """
        budget = (self.settings.memory_gb - self.check_factors(sizes, n_parts)) * 1e9 / 8
        f, n = self.settings.features, max([len(atoms) for atoms in structures], default=1)
        n_species = len({int(z) for atoms in structures for z in atoms.numbers})
        n_radial = self.featurizer.expansion_.n_primitive
        densities = 3 * n * n * (f.max_l + 1) ** 2 * n_radial * max(n_species, 1)  # and what is gathered for pairs
        samples = {group: n if group.family.kind == "on_site" else n * n for group in groups}  # at most
        products = max([g.width * self.n_features(g) * samples[g] for g in groups], default=0)
        step = max(1, min(MOST_STRUCTURES, int(budget / (copies * (COPIES * products + densities)))))
        for start in range(0, len(structures), step):
            yield start, min(start + step, len(structures))


def factor_gigabytes(sizes: Sequence[int], n_parts: int) -> float:
    """Return the memory of factors of so many columns, and of the work on the largest of them, GB."""
    squares = [q**2 for q in sizes]
    return 8e-9 * (n_parts * sum(squares) + EXTRA_FACTORS * max(squares, default=0))
