"""What training sets and memory do not allow, refused in the same words by every learner."""

from __future__ import annotations

import math

from hamlearn.errors import ConfigError


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
