"""Who is left out when."""

from __future__ import annotations

import numpy as np

from hamlearn.errors import ConfigError
from hamlearn.types import IntArray


def fold_indices(n: int, k: int) -> list[IntArray]:
    """Return k disjoint, contiguous folds of 0 ... n - 1, sizes differing by one at most.

    Raises:
        ConfigError: unless 2 <= k <= n.
    """
    if not 2 <= k <= n:
        raise ConfigError(f"{n} data cannot be divided into {k} folds; expected from 2 to {n} folds")
    return list(np.array_split(np.arange(n), k))


def random_order(n: int) -> IntArray:
    """Return a random position of every one of n structures, the same for the same n."""
    return np.random.default_rng(0).permutation(n)


def random_folds(n: int, k: int) -> list[IntArray]:
    """Return k folds of 0 ... n - 1, each ascending, dealt at random with a fixed seed."""
    order = random_order(n)
    return [np.flatnonzero(order % k == fold) for fold in range(k)]


def rows_of(owner: IntArray, members: IntArray) -> IntArray:
    """Return the rows that belong to some structures, ascending."""
    return np.flatnonzero(np.isin(owner, members))
