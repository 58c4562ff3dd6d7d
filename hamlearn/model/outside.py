"""What a model of Hamiltonians says of molecules outside its training set: flags, and how much error bars grow."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hamlearn.display import listed
from hamlearn.errors import OutsideWarning
from hamlearn.learning.choice import evenly_spaced
from hamlearn.learning.novelty import Found, Novelty
from hamlearn.observables import AnyPrediction, reference_prediction
from hamlearn.observables.spreads import spread_inside
from hamlearn.regression.folds import random_order
from hamlearn.targets import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ase import Atoms
    from torch import Tensor

MOST_REFERENCES = 200
"""Training structures whose levels tell the spread."""

MOST_TOLD = 5


@dataclass(frozen=True, eq=False)
class Outside:
    """Flags of molecules, and by how much their error bars grow.

    Attributes:
        novelty: distances from the training set.
        spreads_ev: what levels and gaps of two training structures of one formula differ by (root mean square), eV;
            where a baseline is subtracted, without what those of the baseline differ by.

    Two training structures of a formula differ by a typical distance, and their levels by ``spreads_ev``. A molecule
    that is u typical distances from all of the training set may then be wrong by u ``spreads_ev``: nothing is known of
    how levels go on there, so that all of what they do may be missed.
    """

    novelty: Novelty
    spreads_ev: tuple[float, float]

    @classmethod
    def of(cls, structures: Sequence[Atoms], targets: Sequence[Target]) -> Self:
        """Return what tells molecules from those of a training set."""
        some = [targets[k] for k in evenly_spaced(len(targets), MOST_REFERENCES)]
        spread = spread_inside(
            [reference_prediction(target) for target in some], [_baseline(target) for target in some]
        )
        own = [2**0.5 * value if np.isfinite(value) else 0.0 for value in (spread.levels, spread.gap)]
        return cls(Novelty.of(structures, random_order(len(structures))), (own[0], own[1]))

    def find(self, structures: Sequence[Atoms]) -> list[Found]:
        """Return what is new about molecules; see :meth:`hamlearn.learning.novelty.Novelty.find`."""
        return self.novelty.find(structures)

    def widening_ev(self, found: Found) -> tuple[float, float]:
        """Return what is added, as squares, to the error bars of levels and gap, eV."""
        levels, gap = self.spreads_ev
        return levels * found.excess, gap * found.excess

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return plain values, and tensors by name."""
        spec, tensors = self.novelty.state()
        return {**spec, "spreads_ev": list(self.spreads_ev)}, tensors

    @classmethod
    def from_state(cls, spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Return what has this :meth:`state`."""
        levels, gap = map(float, spec["spreads_ev"])
        return cls(Novelty.from_state(spec, tensors), (levels, gap))


def _baseline(target: Target) -> AnyPrediction | None:
    """Return the baseline of a target as if it were predicted; None if there is none."""
    if target.baseline is None:
        return None
    return reference_prediction(replace(target, matrix=target.baseline, baseline=None))


def warn_of_outside(
    structures: Sequence[Atoms],
    found: Sequence[Found | AnyPrediction] | None,
    bars: bool,
    indices: Iterable[int] | None = None,
) -> None:
    """Warn of flagged molecules.

    Args:
        structures: that were predicted.
        found: what is new about them; None: the model does not know, which is said.
        bars: whether they have error bars.
        indices: their numbers; by default 0, 1, ...
    """
    if found is None:
        words = "the model does not know which molecules lie outside its training set; fit it again for flags"
        return warnings.warn(words, OutsideWarning, stacklevel=3)
    flagged = [
        f"structure {k} ({atoms.get_chemical_formula()}): {'; '.join(own.flags)}"
        for k, atoms, own in zip(range(len(found)) if indices is None else indices, structures, found, strict=True)
        if own.flags
    ]
    if flagged:
        what = "; their error bars are widened" if bars else ""
        first = f"{len(flagged)} of {len(structures)} structures are outside what the model was trained for{what}:"
        warnings.warn(listed([first, *flagged], MOST_TOLD + 1, "\n  "), OutsideWarning, stacklevel=3)
    return None
