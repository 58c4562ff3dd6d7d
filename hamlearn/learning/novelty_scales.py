"""Which distances from a training set are usual: of structures left out, and between two of one formula."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hamlearn.learning.surroundings import Kind
from hamlearn.types import FloatArray, IntArray

INSIDE = 0.99
"""Of the structures left out that lie inside by each of the three measures, before the margin."""

MARGIN, MARGIN_OF_FEW = 1.25, 5.0
"""By which the threshold is larger than what n structures left out reach, 1.25 + 5 / n: few say little of rare ones."""

FEWEST = 10
"""Structures that tell the scale of a kind; one of fewer has the scale usual among others."""

MOST_OTHERS = 2000
"""Rows of one kind that others are compared with."""

MOST_PAIRS = 60
"""Pairs of structures whose differences are measured."""

AT_ONCE = 4096
"""Rows of distances held together."""

Rows = Mapping[Kind, tuple[FloatArray, IntArray]]
"""Of every kind what is compared [row, component], and the structure of each [row]."""


@dataclass(frozen=True)
class Scales:
    """Usual distances of one kind.

    Attributes:
        threshold: beyond which an atom or a pair is outside.
        largest: of structures left out, but the rarest.
        typical: root mean square, over pairs of structures of one formula, of the largest one from the other.
    """

    threshold: float
    largest: float
    typical: float


def differences(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return |a - b| of all rows of two [row, component] -> [row of a, row of b]."""
    if a.shape[1] == 1:
        return np.abs(a - b.T)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.sqrt(squares.clip(min=0.0))


def spread_over(n: int, most: int) -> IntArray:
    """Return at most so many of n positions, evenly spaced, first and last among them."""
    return np.linspace(0, n - 1, min(n, most)).round().astype(np.int64)


def scales_of(rows: Rows, fold: IntArray, formulas: Sequence[str]) -> dict[Kind, Scales]:
    """Return the scales of every kind.

    Args:
        rows: of a training set.
        fold: that every structure is left out with [structure].
        formulas: of the structures.
    """
    n = len(fold)
    worst = {kind: _worst_left_out(x, owner, fold) for kind, (x, owner) in rows.items()}
    typical = _typical(rows, formulas)
    out: dict[Kind, Scales] = {}
    for what in sorted({kind.what for kind in rows}):
        own = [kind for kind in rows if kind.what == what]
        units = _filled({kind: _root_mean(worst[kind]) for kind in own})
        scores = np.zeros(n)
        for kind in own:
            scores = np.maximum(scores, np.nan_to_num(worst[kind] / units[kind], nan=0.0))
        score = float(np.quantile(scores, INSIDE, method="higher")) or 1.0
        usual = _filled({kind: typical.get(kind, np.nan) / units[kind] for kind in own})
        for kind in own:
            largest = score * units[kind]
            out[kind] = Scales((MARGIN + MARGIN_OF_FEW / n) * largest, largest, usual[kind] * units[kind])
    return out


def _worst_left_out(x: FloatArray, owner: IntArray, fold: IntArray) -> FloatArray:
    """Return how far the worst row of every structure is from the rows of other folds, nan where there are none."""
    out = np.full(len(fold), np.nan)
    for part in np.unique(fold[owner]):
        own = fold[owner] == part
        if own.all():
            continue
        nearest = _nearest(x[own], x[~own])
        np.fmax.at(out, owner[own], nearest)
    return out


def _nearest(x: FloatArray, others: FloatArray) -> FloatArray:
    """Return the distance of every row from the nearest of others [row]."""
    if x.shape[1] == 1:
        ordered = np.concatenate([[-np.inf], np.sort(others[:, 0]), [np.inf]])
        after = np.searchsorted(ordered, x[:, 0])
        return np.minimum(x[:, 0] - ordered[after - 1], ordered[after] - x[:, 0])
    thinned = others[spread_over(len(others), MOST_OTHERS)]
    lots = [differences(x[k : k + AT_ONCE], thinned).min(axis=1) for k in range(0, len(x), AT_ONCE)]
    return np.concatenate(lots)


def _typical(rows: Rows, formulas: Sequence[str]) -> dict[Kind, float]:
    """Return what two structures of one formula, or any two where there are none, differ by in every kind."""
    members = defaultdict(list)
    for structure, formula in enumerate(formulas):
        members[formula].append(structure)
    pairs = [both for own in members.values() for both in pairwise(own)] or list(pairwise(range(len(formulas))))
    pairs = [pairs[k] for k in spread_over(len(pairs), MOST_PAIRS)]
    out = {}
    for kind, (x, owner) in rows.items():
        found = []
        for a, b in pairs:
            left, right = x[owner == a], x[owner == b]
            if len(left) and len(right):
                found.append(_nearest(left, right).max())
        out[kind] = _root_mean(np.array(found))
    return out


def _root_mean(values: FloatArray) -> float:
    """Return the root mean square of enough finite numbers, else nan."""
    known = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(known**2))) if len(known) >= FEWEST else float("nan")


def _filled(values: Mapping[Kind, float]) -> dict[Kind, float]:
    """Return numbers with the median of the others for what is nan or 0."""
    known = [value for value in values.values() if value > 0]
    usual = float(np.median(known)) if known else 1.0
    return {kind: value if value > 0 else usual for kind, value in values.items()}
