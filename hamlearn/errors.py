"""The errors hamlearn raises on purpose, each with the exit code the command line gives it.

Every message says what was given, what was expected and what to do.
"""

from __future__ import annotations


class HamlearnError(Exception):
    """Base of all errors a user can cause or must know about."""

    exit_code = 2


class ConfigError(HamlearnError):
    """A workflow file, setting or command-line option is not acceptable."""


class SettingError(ConfigError, ValueError):
    """A setting is not acceptable; also a ValueError, as for any wrong argument in Python."""


class NotFittedError(ConfigError, AttributeError):
    """What only a fit finds was asked for before there was one."""


class StructureError(HamlearnError):
    """A geometry or a file of geometries is not acceptable."""


class BasisError(HamlearnError):
    """A basis set is unknown, lacks an element or cannot be split into blocks."""


class ArtifactError(HamlearnError):
    """A file or folder written by hamlearn is missing, truncated, newer, or made with other settings."""


class DomainError(HamlearnError):
    """A structure lies outside what a model was trained for."""


class SCFError(HamlearnError):
    """Self-consistent field calculations failed; everything that finished is on disk."""

    exit_code = 3


class HamlearnWarning(UserWarning):
    """Something worth knowing that does not stop the work."""


class FarPairsWarning(HamlearnWarning):
    """Atoms are further apart than pairs that have blocks."""


class OutsideWarning(HamlearnWarning):
    """Molecules are predicted that lie outside what a model was trained for."""


def check_type(
    value: object,
    kinds: type | tuple[type, ...],
    argument: str,
    expected: str,
    error: type[HamlearnError] = SettingError,
) -> None:
    """Raise an error that names an argument unless it is of some class.

    Args:
        value: what was given.
        kinds: classes it may have.
        argument: its name.
        expected: what to give, in words.
        error: class of the error.
    """
    if not isinstance(value, kinds):
        raise error(f"{argument} is a {type(value).__name__}, expected {expected}")


def nearest(name: str, valid: list[str] | tuple[str, ...]) -> str:
    """Return the valid name closest in spelling as ``"; did you mean 'x'?"``; ``""`` if it is the same; case last."""
    import difflib

    names = [str(v) for v in valid]
    close = [known for known in names if known.casefold() == str(name).casefold()]
    close = close or difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close and close[0] != str(name) else ""
