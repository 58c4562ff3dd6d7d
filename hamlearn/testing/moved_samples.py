"""What becomes of the samples of a structure, atoms, pairs or larger groups, when it is turned or its atoms change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hamlearn.angular.clebsch_gordan import real_wigner_d
from hamlearn.types import FloatArray, IntArray, Irrep

Sample = tuple[int, ...]
"""Atoms of a sample, the centre first; those of a pair in either order; () for the structure as a whole."""


def moved_rows(
    before: Sequence[Sample], after: Sequence[Sample], order: IntArray, exchange: int = 1
) -> tuple[list[int], FloatArray]:
    """Return where each sample of a permuted structure was before, and its sign [sample].

    Args:
        before: samples of the structure, row by row.
        after: samples of the one whose atom k is atom ``order[k]`` of it.
        order: a permutation [atom].
        exchange: sign of a pair seen from its other end, -1 for those odd under exchange.
    """
    where = {_unordered(sample): row for row, sample in enumerate(before)}
    rows, signs = [], []
    for sample in after:
        old = tuple(int(order[k]) for k in sample)
        turned = _unordered(old) not in where
        rows.append(where[_unordered(old[::-1] if turned else old)])
        signs.append(float(exchange) if turned else 1.0)
    return rows, np.array(signs)


def rotation_of(irrep: Irrep, rotation: FloatArray) -> FloatArray:
    """Return s D^L(R), s = 1 for proper and sigma for improper R [2L+1, 2L+1]."""
    L, sigma = irrep
    return (1 if np.linalg.det(rotation) > 0 else sigma) * real_wigner_d(rotation, L)[L]


def _unordered(sample: Sample) -> tuple[Sample, frozenset[int]]:
    """Return the centre, and the other atoms in no order."""
    return sample[:1], frozenset(sample[1:])
