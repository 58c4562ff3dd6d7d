"""Lengths that occurred, as intervals, those of many kinds at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hamlearn.types import FloatArray, IntArray

APART = 1e6
"""Between kinds on the one axis that holds them all, Å: more than any molecule is long."""


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals of lengths of several kinds, kind k moved by k times a large number.

    Attributes:
        lower: ends, ascending [interval].
        upper: the other ends [interval].
    """

    lower: FloatArray
    upper: FloatArray

    @classmethod
    def of(cls, values: Sequence[FloatArray], gaps: Sequence[float]) -> Intervals:
        """Return the intervals that hold the lengths of every kind; gaps up to a width of each kind are closed."""
        lower, upper = [np.zeros(0)], [np.zeros(0)]
        for kind, (own, gap) in enumerate(zip(values, gaps, strict=True)):
            if len(own):
                ordered = np.sort(own) + APART * kind
                open_after = np.flatnonzero(np.diff(ordered) > gap)
                lower.append(ordered[np.append(0, open_after + 1)])
                upper.append(ordered[np.append(open_after, len(ordered) - 1)])
        return cls(np.concatenate(lower), np.concatenate(upper))

    def distances(self, values: FloatArray, kind: IntArray) -> FloatArray:
        """Return how far lengths [length] lie outside all intervals of their kinds [length]; infinite without any."""
        at = values + APART * kind
        after = np.searchsorted(self.lower, at, side="right")
        below = np.append(-np.inf, self.upper)[after]
        above = np.append(self.lower, np.inf)[after]
        out = np.minimum(at - below, above - at).clip(min=0.0)
        return np.where(out > APART / 2, np.inf, out)

    def around(self, kind: int, value: float) -> tuple[float, float, float, float]:
        """Return the smallest and the largest length of a kind, and those next to a value; nan where there is none."""
        own = (self.lower >= APART * (kind - 0.5)) & (self.lower < APART * (kind + 0.5))
        lower, upper = self.lower[own] - APART * kind, self.upper[own] - APART * kind
        if not len(lower):
            return (np.nan,) * 4
        below = upper[upper < value].max(initial=-np.inf)
        above = lower[lower > value].min(initial=np.inf)
        return float(lower[0]), float(upper[-1]), float(below), float(above)

    def arrays(self) -> dict[str, FloatArray]:
        """Return everything by name."""
        return {"lower": self.lower, "upper": self.upper}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, FloatArray]) -> Intervals:
        """Return what has these :meth:`arrays`."""
        return cls(arrays["lower"], arrays["upper"])
