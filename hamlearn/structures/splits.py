"""Seeded splits and nested training subsets."""

from __future__ import annotations

import numpy as np

from hamlearn.errors import ConfigError
from hamlearn.types import IntArray


def split(n: int, train: int, test: int, seed: int) -> tuple[IntArray, IntArray]:
    """Return the first ``train`` and the last ``test`` of ``default_rng(seed).permutation(n)``.

    The first k training indices are the training set of size k: subsets are nested, and all share the test set.

    Args:
        n: number of structures.
        train: number of training structures.
        test: number of test structures.
        seed: of the permutation, at least 0.

    Returns:
        Training indices [train] and test indices [test], disjoint.

    Raises:
        ConfigError: for negative numbers, or train + test above n.
    """
    for name, value in (("train", train), ("test", test), ("seed", seed)):
        if value < 0:
            raise ConfigError(f"{name} is {value}; expected at least 0")
    if train + test > n:
        raise ConfigError(
            f"train + test = {train} + {test} = {train + test}, but there are {n} structures; "
            "lower one of them, or give more structures"
        )
    order = np.random.default_rng(seed).permutation(n)
    return order[:train], order[n - test :]


def training_orders(train_idx: IntArray, repeats: int, seed: int) -> list[IntArray]:
    """Return ``repeats`` orders of the training set, the first as given; the prefixes of each are nested subsets.

    Args:
        train_idx: training indices [train].
        repeats: number of orders, at least 1.
        seed: of the further orders; order k depends on the seed and k alone.

    Raises:
        ConfigError: for fewer than one order or a negative seed.
    """
    if repeats < 1 or seed < 0:
        raise ConfigError(f"repeats is {repeats} and seed {seed}; expected at least 1 and at least 0")
    return [train_idx] + [np.random.default_rng([seed, k]).permutation(train_idx) for k in range(1, repeats)]
