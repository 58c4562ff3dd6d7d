"""What training sets and memory do not allow, refused in the same words by every learner."""

from __future__ import annotations

from hamlearn.errors import ConfigError


def refuse_beyond(memory_gb: float, needed: float, what: str, remedy: str) -> None:
    """Refuse what does not fit into memory.

    Args:
        memory_gb: the bound, GB.
        needed: how much is needed, GB.
        what: needs it, with the verb.
        remedy: what to do.

    Raises:
        ConfigError: if more is needed than there is.
    """
    if needed > memory_gb:
        raise ConfigError(f"{what} {needed:.2g} GB, more than memory_gb = {memory_gb:g}; {remedy}")


def refuse_alone(n_structures: int, what: str, remedy: str = "") -> None:
    """Refuse to leave out structures of a training set that has no two.

    Args:
        n_structures: how many there are.
        what: needs others, with the verb.
        remedy: what else than more structures helps.

    Raises:
        ConfigError: for fewer than two structures.
    """
    if n_structures < 2:
        raise ConfigError(
            f"{what} structures that can be left out, but there is {n_structures}; give at least two training "
            f"structures{remedy}"
        )
