"""Factors of error bars, from molecules that were left out of the fit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from hamlearn.errors import HamlearnWarning
from hamlearn.job import Job
from hamlearn.observables import AnyPrediction, calibration_factor, calibration_metrics, errors_with_stds

FEW = 20
"""Structures left out below which the 68 % quantile of as many errors is wrong by a fifth or more."""


def calibration_of(
    predictions: Sequence[AnyPrediction], references: Sequence[AnyPrediction], job: Job
) -> tuple[float, float]:
    """Return the factors that let error bars of levels and gap cover 68.3 % of the errors of held-out molecules.

    Args:
        predictions: of molecules by models that have not seen them, with error bars.
        references: the same as computed.
        job: who is told.
    """
    found = errors_with_stds(predictions, references)
    levels, gap = (calibration_factor(*found[name]) for name in ("levels", "gap"))
    if not np.isfinite([levels, gap]).all():
        warnings.warn(
            "some structures left out are predicted wrongly without any uncertainty; error bars are not scaled, "
            "and too small where a molecule has atoms or pairs that training hardly had",
            HamlearnWarning,
            stacklevel=4,
        )
        levels, gap = (factor if np.isfinite(factor) else 1.0 for factor in (levels, gap))
    few = "; they are few, and the factors rough" if len(predictions) < FEW else ""
    spread = [calibration_metrics(*found[name])["rms_z"] for name in ("levels", "gap")]
    job.say(
        f"error bars: scaled by {levels:.3g} (levels) and {gap:.3g} (gap) to cover 68 % of the errors of "
        f"{len(predictions)} structures left out{few}; rms z {spread[0] / levels:.3g} and {spread[1] / gap:.3g}"
    )
    return levels, gap
