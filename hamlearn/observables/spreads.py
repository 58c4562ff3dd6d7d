"""How much levels and gaps vary among molecules of one formula: the scale of what there is to learn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.observables.spins import AnyPrediction
from hamlearn.qm.molecule import formula
from hamlearn.types import FloatArray


@dataclass(frozen=True)
class Spread:
    """Standard deviations among the molecules of one formula, or of all formulas by themselves, eV.

    Attributes:
        levels: root mean square over the levels, numbered in order of energy.
        gap: of the gap; nan where there is none.
        count: number of molecules.
    """

    levels: float
    gap: float
    count: int


def spread_of_each(references: Sequence[AnyPrediction]) -> dict[str, Spread]:
    """Return the spread inside every formula that occurs twice at least.

    Args:
        references: what was computed of some molecules.
    """
    members: dict[str, list[AnyPrediction]] = defaultdict(list)
    for reference in references:
        members[formula(reference.numbers)].append(reference)
    out = {}
    for name, own in members.items():
        if len(own) > 1:
            levels = np.stack([p.eigenvalues_ev.ravel() for p in own])
            gaps = np.array([p.gap_ev for p in own])
            of_levels = float(np.sqrt(levels.var(axis=0, ddof=1).mean()))
            out[name] = Spread(of_levels, float(gaps.std(ddof=1)), len(own))
    return out


def spread_inside(references: Sequence[AnyPrediction]) -> Spread:
    """Return the spread inside formulas, pooled; where no formula occurs twice, that of all molecules together.

    Of different molecules levels are numbered from the frontier.

    Args:
        references: what was computed of some molecules.
    """
    each = list(spread_of_each(references).values())
    if not each:
        return _of_all(references)
    freedom = np.array([own.count - 1 for own in each], dtype=np.float64)
    levels, gaps = (np.array([getattr(own, name) for own in each]) for name in ("levels", "gap"))
    known = np.isfinite(gaps)
    gap = _pooled(gaps[known], freedom[known]) if known.any() else float("nan")
    return Spread(_pooled(levels, freedom), gap, sum(own.count for own in each))


def _pooled(stds: FloatArray, freedom: FloatArray) -> float:
    return float(np.sqrt(freedom @ stds**2 / freedom.sum()))


def _of_all(references: Sequence[AnyPrediction]) -> Spread:
    places: dict[tuple[int, int], list[float]] = defaultdict(list)
    for reference in references:
        for spin, own in enumerate(reference.spins):
            for place, level in enumerate(own.eigenvalues_ev, start=-own.n_occupied):
                places[spin, place].append(float(level))
    variances = [np.var(own, ddof=1) for own in places.values() if len(own) > 1]
    gaps = np.array([p.gap_ev for p in references])
    gaps = gaps[np.isfinite(gaps)]
    gap = float(gaps.std(ddof=1)) if len(gaps) > 1 else float("nan")
    return Spread(float(np.sqrt(np.mean(variances))) if variances else float("nan"), gap, len(references))
