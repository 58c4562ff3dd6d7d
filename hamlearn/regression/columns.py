"""Choosing columns of features: CUR and farthest points, by scikit-matter."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from hamlearn.regression.farthest import SAME
from hamlearn.regression.rows import RowFactor
from hamlearn.ties import RELATIVE, first_of_best
from hamlearn.types import FloatArray, IntArray

Choice = Literal["cur", "fps"]


def choose_columns(x: FloatArray, n: int, by: Choice = "cur") -> IntArray:
    """Choose n columns that stand for all q: those of largest leverage (CUR), or farthest from those chosen before.

    CUR takes the column of largest component in the leading right singular vector, projects it out of all others, and
    begins anew. Farthest points begin with the longest column. Of columns that serve equally well the first is taken;
    columns that vanish never are. Turning rows among each other changes nothing, permuting columns permutes the
    choice, ties apart.

    Args:
        x: features of some rows [row, q], or a factor of them.
        n: number of columns, at most q.
        by: "cur" or "fps".

    Returns:
        Columns in order [n]; fewer if the rank of x is lower (CUR), or only copies of those chosen are left.

    Source: Imbalzano et al., J. Chem. Phys. 148, 241730 (2018); Ceriotti, Willatt, Csányi, Handbook of Materials
    Modeling (2018), eqs. 9 to 11.
    """
    q = x.shape[1]
    kept = RowFactor(q)
    kept.add(x)  # scalar products of columns are all that matters
    lengths = np.linalg.norm(kept.factor, axis=0)
    seen = np.flatnonzero(lengths > SAME * lengths.max())
    if len(seen) < 2:
        return seen
    choose = _cur if by == "cur" else _farthest
    return seen[choose(kept.factor[:, seen] / lengths.max(), min(n, len(seen)))]


def _cur(x: FloatArray, n: int) -> IntArray:
    from skmatter.feature_selection import CUR

    rank = int(np.linalg.matrix_rank(x, rtol=SAME))
    more = np.pad(x, ((0, 1), (0, 1)))
    more[-1, -1] = 0.1 * SAME  # scikit-matter decomposes what is left after the last choice, which must not be zero
    return np.asarray(_steady(CUR(n_to_select=min(n, rank), tolerance=0.0)).fit(more).selected_idx_)


def _farthest(x: FloatArray, n: int) -> IntArray:
    from skmatter.feature_selection import FPS

    longest = int(first_of_best((x**2).sum(axis=0)))
    fps = _steady(FPS(n_to_select=n, initialize=longest)).fit(np.pad(x, ((0, 1), (0, 0))))  # two rows at least
    chosen = np.asarray(fps.selected_idx_)
    return chosen[fps.hausdorff_at_select_[chosen] > SAME]


def _steady(selector: Any) -> Any:
    """Return a selector of scikit-matter that takes the first of equal columns, whatever their rounding."""
    score = selector.score
    selector.score = lambda x, y=None: _level(score(x, y))
    return selector


def _level(scores: FloatArray) -> FloatArray:
    best = scores.max()
    return np.where(scores >= (1 - RELATIVE) * best, best, scores)
