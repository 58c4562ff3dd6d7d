"""Choice of regularisation, with a rule for ties: rounding never decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from hamlearn.errors import ConfigError
from hamlearn.ties import RELATIVE
from hamlearn.types import FloatArray


class SingularKernel(ConfigError):
    """A kernel matrix cannot be factorised with any regularisation that was tried."""


def descend(
    evaluate: Callable[[int], FloatArray], n_targets: int, n_alphas: int, start: int
) -> tuple[list[int], FloatArray]:
    """Return the position of a minimum of each target's error on the alphas, and the error, trying as few as need be.

    Of alphas that serve equally well the one nearest to the start is taken.

    Args:
        evaluate: returns the errors of all targets [target] with the alpha of a position.
        n_targets: number of targets.
        n_alphas: number of alphas.
        start: position tried first.

    Raises:
        SingularKernel: if a target has no finite error.
    """
    errors: dict[int, FloatArray] = {}

    def error(position: int, target: int) -> float:
        if not 0 <= position < n_alphas:
            return np.inf
        if position not in errors:
            errors[position] = np.nan_to_num(evaluate(position), nan=np.inf, posinf=np.inf)
        return float(errors[position][target])

    best = []
    for target in range(n_targets):
        position = start
        step = 1 if error(position + 1, target) < (1 - RELATIVE) * error(position, target) else -1
        while error(position + step, target) < (1 - RELATIVE) * error(position, target):
            position += step
        best.append(position)
    found = np.array([errors[p][t] for t, p in enumerate(best)])
    if not np.isfinite(found).all():
        raise SingularKernel(
            "a kernel matrix is singular to rounding; look for structures that occur twice or a rate that is too large"
        )
    return best, found


def middle(positions: Iterable[int], alphas: Sequence[float]) -> float:
    """Return the alpha in the middle of those chosen for several targets."""
    ordered = sorted(positions)
    return alphas[ordered[len(ordered) // 2]]
