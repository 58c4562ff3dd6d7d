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


def spread_of_each(
    references: Sequence[AnyPrediction], baselines: Sequence[AnyPrediction | None] | None = None
) -> dict[str, Spread]:
    """Return the spread inside every formula that occurs twice at least.

    Args:
        references: what was computed of some molecules.
        baselines: whose levels and gap are subtracted, where there is one.
    """
    members: dict[str, list[tuple[FloatArray, float]]] = defaultdict(list)
    for reference, baseline in zip(references, baselines or [None] * len(references), strict=True):
        levels, gap = reference.eigenvalues_ev.ravel(), reference.gap_ev
        if baseline is not None:
            levels, gap = levels - baseline.eigenvalues_ev.ravel(), gap - baseline.gap_ev
        members[formula(reference.numbers)].append((levels, gap))
    out = {}
    for name, own in members.items():
        if len(own) > 1:
            levels, gaps = np.stack([of_one for of_one, _ in own]), np.array([gap for _, gap in own])
            of_levels = float(np.sqrt(levels.var(axis=0, ddof=1).mean()))
            out[name] = Spread(of_levels, float(gaps.std(ddof=1)), len(own))
    return out


def spread_inside(
    references: Sequence[AnyPrediction], baselines: Sequence[AnyPrediction | None] | None = None
) -> Spread:
    """Return the spread inside formulas, pooled; where no formula occurs twice, that of all molecules together.

    Of different molecules levels are numbered from the frontier.

    Args:
        references: what was computed of some molecules.
        baselines: whose levels and gap are subtracted, where there is one.
    """
    each = list(spread_of_each(references, baselines).values())
    if not each:
        return _of_all(references, baselines or [None] * len(references))
    freedom = np.array([own.count - 1 for own in each], dtype=np.float64)
    levels, gaps = (np.array([getattr(own, name) for own in each]) for name in ("levels", "gap"))
    known = np.isfinite(gaps)
    gap = _pooled(gaps[known], freedom[known]) if known.any() else float("nan")
    return Spread(_pooled(levels, freedom), gap, sum(own.count for own in each))


def _pooled(stds: FloatArray, freedom: FloatArray) -> float:
    return float(np.sqrt(freedom @ stds**2 / freedom.sum()))


def _of_all(references: Sequence[AnyPrediction], baselines: Sequence[AnyPrediction | None]) -> Spread:
    places: dict[tuple[int, int], list[float]] = defaultdict(list)
    gaps = []
    for reference, baseline in zip(references, baselines, strict=True):
        gaps.append(reference.gap_ev - (0.0 if baseline is None else baseline.gap_ev))
        for spin, own in enumerate(reference.spins):
            levels = own.eigenvalues_ev
            if baseline is not None:
                levels = levels - baseline.spins[spin].eigenvalues_ev
            for place, level in enumerate(levels, start=-own.n_occupied):
                places[spin, place].append(float(level))
    variances = [np.var(own, ddof=1) for own in places.values() if len(own) > 1]
    known = np.array(gaps)[np.isfinite(gaps)]
    gap = float(known.std(ddof=1)) if len(known) > 1 else float("nan")
    return Spread(float(np.sqrt(np.mean(variances))) if variances else float("nan"), gap, len(references))
