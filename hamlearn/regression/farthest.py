"""Farthest points: an active set that covers what there is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hamlearn.ties import first_of_best
from hamlearn.types import FloatArray, IntArray

SAME = 1e-12


def farthest_points(
    column: Callable[[int], FloatArray],
    diagonal: FloatArray,
    n_select: int,
    tolerance: float = SAME,
) -> IntArray:
    """Pick again and again the point with the largest d(A, chosen)^2 = min_B K(A,A) + K(B,B) - 2 K(A,B).

    The first is the point of index 0. Only the columns of chosen points are asked for, so that the kernel need not be
    held. Of equally far points the one of lowest index is taken. Rotating all points with an invariant kernel picks the
    same; permuting those after the first the same points, ties apart.

    Args:
        column: returns the kernels of all points with one of them [n].
        diagonal: K(A, A) [n].
        n_select: number of points.
        tolerance: stop when the largest squared distance is below this fraction of the largest K(A, A): all other
            points are duplicates of chosen ones.

    Returns:
        Indices in order [k], k = n_select unless there were only duplicates left.

    Source: Ceriotti, Willatt, Csányi, Handbook of Materials Modeling (2018), eq. 9.
    """
    scale = diagonal.max(initial=0.0)
    indices = [0]
    nearest = np.full(len(diagonal), np.inf)
    while len(indices) < n_select:
        last = indices[-1]
        np.minimum(nearest, diagonal + diagonal[last] - 2 * column(last), out=nearest)
        nearest[last] = 0.0
        farthest = int(first_of_best(nearest))
        if nearest[farthest] <= tolerance * scale:
            break
        indices.append(farthest)
    return np.array(indices)
