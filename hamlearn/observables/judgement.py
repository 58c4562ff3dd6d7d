"""Errors beside the spread of what is predicted, formula by formula, and which levels carry them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hamlearn.observables.metrics import EV_MEV, level_errors, metrics
from hamlearn.observables.spins import AnyPrediction
from hamlearn.observables.spreads import spread_inside, spread_of_each
from hamlearn.qm.molecule import formula

MOST_FORMULAS, MOST_LEVELS = 50, 10
"""That are listed."""


def judged(predictions: Sequence[AnyPrediction], references: Sequence[AnyPrediction]) -> dict[str, Any]:
    """Return errors and spreads inside formulas, meV, and the share of the squared error of levels.

    Args:
        predictions: of molecules the model has not seen.
        references: the same as computed.

    Returns:
        level_rmse_mev, level_spread_mev, gap_rmse_mev, gap_spread_mev and count of all, with the spread inside
        formulas, or of all molecules where each formula is there once (``inside`` is false then); ``formulas``: the
        same of every formula, the most frequent ones first; ``levels``: level, occupied and share of the squared
        error, the largest first; ``virtual_share`` of all virtual levels. Spreads that are not known are nan.
    """
    each, whole = spread_of_each(references), spread_inside(references)
    members: dict[str, list[int]] = {}
    for k, reference in enumerate(references):
        members.setdefault(formula(reference.numbers), []).append(k)
    rows = []
    for name, own in sorted(members.items(), key=lambda item: (-len(item[1]), item[0])):
        found = metrics([predictions[k] for k in own], [references[k] for k in own])
        spread = each.get(name)
        spreads = (np.nan, np.nan) if spread is None else (spread.levels, spread.gap)
        rows.append({"formula": name, **_row(found, *spreads, len(own))})
    squares = [
        (row["level"], row["occupied"], row["rmse_mev"] ** 2 * row["count"])
        for row in level_errors(predictions, references)
    ]
    total = sum(square for *_, square in squares) or 1.0
    ranked = sorted(squares, key=lambda row: -row[2])
    return {
        **_row(metrics(predictions, references), whole.levels, whole.gap, len(references)),
        "inside": bool(each),
        "formulas": rows[:MOST_FORMULAS],
        "levels": [{"level": name, "occupied": known, "share": x / total} for name, known, x in ranked[:MOST_LEVELS]],
        "virtual_share": sum(square for _, occupied, square in squares if not occupied) / total,
    }


def _row(found: dict[str, float], levels_ev: float, gap_ev: float, count: int) -> dict[str, Any]:
    return {
        "count": count,
        "level_rmse_mev": found["eigenvalue_rmse_mev"],
        "level_spread_mev": EV_MEV * levels_ev,
        "gap_rmse_mev": found["gap_rmse_mev"],
        "gap_spread_mev": EV_MEV * gap_ev,
    }
