"""Choice of regularisation, with a rule for ties: rounding never decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.linalg import LinAlgError

from hamlearn.errors import ConfigError
from hamlearn.ties import RELATIVE, first_of_best
from hamlearn.types import FloatArray


class SingularKernel(ConfigError):
    """A kernel matrix cannot be factorised with any regularisation that was tried."""


def choose_alphas(
    errors_of: Callable[[float], FloatArray], n_targets: int, alphas: Sequence[float], start: int | None = None
) -> tuple[list[float], FloatArray]:
    """Return the alpha of smallest error of each target, and the error [target].

    From a start, as few alphas are tried as need be to descend to a minimum of each target, and of those that serve
    equally well the one nearest to the start is taken. Without one all are tried, and the first of the best is taken.

    Args:
        errors_of: returns the errors of all targets [target] with an alpha; a kernel that is singular with it may
            raise LinAlgError.
        n_targets: number of targets.
        alphas: to choose from.
        start: position of the one that is tried first; None: all are tried.

    Raises:
        SingularKernel: if a target has no finite error.
    """
    errors: dict[int, FloatArray] = {}

    def error(position: int) -> FloatArray:
        if not 0 <= position < len(alphas):
            return np.full(n_targets, np.inf)
        if position not in errors:
            try:
                errors[position] = np.nan_to_num(errors_of(alphas[position]), nan=np.inf, posinf=np.inf)
            except LinAlgError:
                errors[position] = np.full(n_targets, np.inf)
        return errors[position]

    def lower(position: int, other: int, target: int) -> bool:
        return bool(error(position)[target] < (1 - RELATIVE) * error(other)[target])

    if start is None:
        best = first_of_best(-np.array([error(position) for position in range(len(alphas))])).tolist()
    else:
        best = [start] * n_targets
        for target in range(n_targets):
            step = 1 if lower(start + 1, start, target) else -1
            while lower(best[target] + step, best[target], target):
                best[target] += step
    found = np.array([errors[p][t] for t, p in enumerate(best)])
    if not np.isfinite(found).all():
        raise SingularKernel(
            "a kernel matrix is singular to rounding; look for structures that occur twice or a rate that is too large"
        )
    return [alphas[p] for p in best], found


def of_targets(found: Mapping[float, FloatArray], alphas: Sequence[float]) -> FloatArray:
    """Return the column of every target from what was found with its alpha [row, target]."""
    return np.stack([found[alpha][:, target] for target, alpha in enumerate(alphas)], axis=1)


def middle(alphas: Sequence[float]) -> float:
    """Return the alpha in the middle of those chosen for several targets."""
    return sorted(alphas)[len(alphas) // 2]
