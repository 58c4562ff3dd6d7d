"""Whether error bars say how large errors are: coverage, spread of z = error / standard deviation, rank correlation."""

from __future__ import annotations

from collections.abc import Sequence
from math import erf, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfinv
from scipy.stats import spearmanr

from hamlearn.observables.spins import AnyPrediction, each_spin
from hamlearn.types import FloatArray

Uncertain = tuple[FloatArray, FloatArray]
"""Errors and standard deviations of the same numbers [n]."""

ONE_SIGMA = erf(1 / sqrt(2))
"""Fraction of normal errors within one standard deviation, 68.3 %; within two it is 95.4 %."""


def errors_with_stds(predictions: Sequence[AnyPrediction], references: Sequence[AnyPrediction]) -> dict[str, Uncertain]:
    """Return errors and standard deviations of all levels and of all gaps, eV.

    Args:
        predictions: with error bars.
        references: the same molecules as they should be.

    Returns:
        levels: those of all molecules one after the other; gap: one per molecule, nan where there is none.
    """
    pairs = list(zip(predictions, references, strict=True))
    spins = list(zip(each_spin(predictions), each_spin(references), strict=True))
    return {
        "levels": (
            np.concatenate([p.eigenvalues_ev - r.eigenvalues_ev for p, r in spins] or [np.zeros(0)]),
            np.concatenate([p.eigenvalues_std_ev for p, _ in spins] or [np.zeros(0)]),
        ),
        "gap": (np.array([p.gap_ev - r.gap_ev for p, r in pairs]), np.array([p.gap_std_ev for p, _ in pairs])),
    }


def calibration_metrics(errors: ArrayLike, stds: ArrayLike) -> dict[str, float]:
    """Return how well standard deviations describe errors, from the pairs in which both are finite.

    Args:
        errors: predicted minus reference [n].
        stds: standard deviations, in the same unit [n].

    Returns:
        coverage_68 and coverage_95: fractions with |z| <= 1 and <= 2, 0.683 and 0.954 for normal errors; rms_z, 1
        then; median_z of |z|, 0.674 then; rank_correlation of std and |error| (Spearman), nan if either is
        constant; count. All but count are nan without pairs.
    """
    z = _sizes(errors, stds)
    if not z.size:
        names = ("coverage_68", "coverage_95", "rms_z", "median_z", "rank_correlation")
        return {**dict.fromkeys(names, float("nan")), "count": 0}
    return {
        "coverage_68": float(np.mean(z <= 1)),
        "coverage_95": float(np.mean(z <= 2)),
        "rms_z": float(np.sqrt(np.mean(z**2))),
        "median_z": float(np.median(z)),
        "rank_correlation": _rank_correlation(*_finite(errors, stds)),
        "count": len(z),
    }


def calibration_factor(errors: ArrayLike, stds: ArrayLike) -> float:
    """Return the 68.3 % quantile of |z|: standard deviations times it cover that fraction of the errors.

    A quantile, so that a few wild errors do not widen all error bars; nan without finite pairs.

    Args:
        errors: predicted minus reference [n].
        stds: standard deviations, in the same unit [n].
    """
    z = _sizes(errors, stds)
    return float(np.quantile(z, ONE_SIGMA, method="higher")) if z.size else float("nan")


def reliability_curve(errors: ArrayLike, stds: ArrayLike, n: int = 41) -> tuple[FloatArray, FloatArray]:
    """Return fractions p of errors expected inside central intervals of normal errors, and those observed [n] each.

    Args:
        errors: predicted minus reference.
        stds: standard deviations, in the same unit.
        n: number of intervals, p from 0 to 1.
    """
    expected = np.linspace(0, 1, n)
    z = np.sort(_sizes(errors, stds))
    observed = np.searchsorted(z, sqrt(2) * erfinv(expected), side="right") / max(len(z), 1)
    return expected, observed


def _finite(errors: ArrayLike, stds: ArrayLike) -> Uncertain:
    """Return |error| and standard deviation where both are finite."""
    e, s = np.abs(np.asarray(errors, dtype=np.float64)), np.asarray(stds, dtype=np.float64)
    if e.shape != s.shape or e.ndim != 1:
        raise ValueError(f"errors have shape {e.shape} and standard deviations {s.shape}; give one of each [n]")
    both = np.isfinite(e) & np.isfinite(s)
    return e[both], s[both]


def _sizes(errors: ArrayLike, stds: ArrayLike) -> FloatArray:
    """Return |z|; infinite for an error of what was said to be certain, 0 where nothing is wrong."""
    e, s = _finite(errors, stds)
    certain = np.where(e > 0, np.inf, 0.0)
    return np.divide(e, s, out=certain, where=s > 0)


def _rank_correlation(e: FloatArray, s: FloatArray) -> float:
    if len(e) < 3 or not np.ptp(e) or not np.ptp(s):
        return float("nan")
    return float(spearmanr(s, e).statistic)
