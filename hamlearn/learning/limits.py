"""What training sets and memory do not allow, refused in the same words by every learner, and what work costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hamlearn.errors import ConfigError

FEATURE, SOLUTION, AGAIN = 2000.0, 40.0, 0.3
"""Measured: what progress counts for making a feature and for solving, in products of numbers of a factorisation, and
for solving without some rows, in such solutions."""


def costs_of_steps(sizes: Sequence[tuple[int, int]], n_structures: int, n_left_out: int) -> list[float]:
    """Return what steps of fits on features cost: features of every structure, every fit, and every part left out.

    Args:
        sizes: numbers of features and rows of every fit.
        n_structures: whose features are made.
        n_left_out: parts that are predicted from the others.
    """
    features = sum(float(n) * q * (FEATURE + min(n, q)) for q, n in sizes)
    fits = [SOLUTION * float(min(n, q)) ** 2 * q for q, n in sizes]
    again = AGAIN * sum(fits) + features / max(n_left_out, 1)
    return [*[features / n_structures] * n_structures, *fits, *[again] * n_left_out]


def refuse_beyond(memory_gb: float, needed: float, what: str, remedy: str) -> None:
    """Raise ConfigError if more GB are needed than there are: by what, with the verb, and what to do about it."""
    if needed > memory_gb:
        raise ConfigError(f"{what} {_two_digits(needed):.2g} GB, more than memory_gb = {memory_gb:g}; {remedy}")


def _two_digits(value: float) -> float:
    """Return a number rounded up to two digits, so that as much memory is enough."""
    if not 0 < value < math.inf:
        return value
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - 1e-9) * unit


def refuse_alone(n_structures: int, what: str, remedy: str = "") -> None:
    """Raise ConfigError if structures shall be left out and there are no two: for what, with the verb, and what helps
    beside more of them.
    """
    if n_structures < 2:
        raise ConfigError(
            f"{what} structures that can be left out, but there is {n_structures}; give at least two training "
            f"structures{remedy}"
        )
