"""How many structures and groups ridge regression takes at a time, so that features and factors fit into memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hamlearn.config import RidgeSettings
from hamlearn.features import Featurizer
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

    def check(self, n_targets: Mapping[Group, int], n_rows: Mapping[Group, int], n_parts: int, held_out: bool) -> float:
        """Return what posteriors of all groups need, GB: nothing without error bars.

        Raises:
            ConfigError: naming memory that is enough, if they and the factors of the largest group alone, or of the one
                from which most features are chosen, exceed ``memory_gb``.
        """
        kept = {group: self.n_kept(group) for group in n_targets}
        bars = held_out or bool(self.settings.error_bars)
        posteriors = 8e-9 * sum(q * min(q, n_rows[group]) for group, q in kept.items()) if bars else 0.0
        largest = max(kept.values(), default=0)
        chosen_from = max((self.n_features(g) for g, q in kept.items() if q < self.n_features(g)), default=0)
        needed = posteriors + max(factor_gigabytes([largest], n_parts), factor_gigabytes([chosen_from], 1))
        widest = max(largest, chosen_from)
        what = f"{widest} features with error bars need" if bars else f"{widest} features need factors of"
        refuse_beyond(self.settings.memory_gb, needed, what, self._remedy(bars))
        return posteriors

    def _remedy(self, bars: bool) -> str:
        """Return what helps where memory is too small."""
        more = [] if self.settings.max_features else ["set model.max_features"]
        return ", or ".join([REMEDY, *more, *(["drop model.error_bars"] if bars else [])])

    def lots(
        self, n_targets: Mapping[Group, int], n_rows: Mapping[Group, int], n_parts: int, held_out: bool
    ) -> Iterator[list[Group]]:
        """Yield groups whose factors fit into memory together, largest groups with others as they come.

        Raises:
            ConfigError: as :meth:`check`.
        """
        posteriors, most = self.check(n_targets, n_rows, n_parts, held_out), self.settings.memory_gb
        kept = [self.n_kept(group) for group in n_targets]
        sizes = [8e-9 * n_parts * (q + t) ** 2 for q, t in zip(kept, n_targets.values(), strict=True)]
        work = 8e-9 * EXTRA_FACTORS * max(kept, default=0) ** 2
        groups = list(n_targets)
        for start, stop in in_lots(sizes, min(0.5 * most, most - posteriors - work)):
            yield groups[start:stop]

    def check_factors(self, sizes: Sequence[int], n_parts: int) -> float:
        """Return the memory of factors of so many features in so many parts, and of posteriors that are there, GB.

        Raises:
            ConfigError: if it exceeds ``memory_gb``.
        """
        needed = factor_gigabytes(sizes, n_parts)
        needed += 8e-9 * sum(fit.posterior.directions.size for fit in self.fits.values() if fit.posterior)
        what = f"{max(sizes)} features need factors of" if sizes else "error bars need"
        refuse_beyond(self.settings.memory_gb, needed, what, self._remedy(bars=False))
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
