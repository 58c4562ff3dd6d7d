"""Learning curves in numbers: mean and spread over orders of the training set, and whether they still fall."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def average_orders(rows: Sequence[Mapping[str, Any]], key: str) -> list[dict[str, float]]:
    """Return mean and spread of an error over the orders of the training set.

    Args:
        rows: one per training size and order, with ``n_train`` and errors.
        key: which error, such as ``eigenvalue_rmse_mev``.

    Returns:
        One row per training size, ascending: n_train, mean, std (0 for one order), orders.
    """
    errors: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        errors[int(row["n_train"])].append(float("nan") if row[key] is None else float(row[key]))
    return [
        {"n_train": n, "mean": float(np.mean(errors[n])), "std": float(np.std(errors[n])), "orders": len(errors[n])}
        for n in sorted(errors)
    ]


def final_slope(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    """Return d log(error) / d log(n_train) between the two largest training sets; 0 is saturation.

    Args:
        rows: as for :func:`average_orders`.
        key: which error.

    Returns:
        The slope of the mean over orders; nan with fewer than two sizes or an error of zero.
    """
    averages = average_orders(rows, key)[-2:]
    if len(averages) < 2 or not all(row["mean"] > 0 for row in averages):
        return float("nan")
    before, last = averages
    return float(np.log(last["mean"] / before["mean"]) / np.log(last["n_train"] / before["n_train"]))
