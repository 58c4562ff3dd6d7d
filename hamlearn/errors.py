"""The errors hamlearn raises on purpose, each with the exit code the command line gives it.

Every message says what was given, what was expected and what to do.
"""

from __future__ import annotations


class HamlearnError(Exception):
    """Base of all errors a user can cause or must know about."""

    exit_code = 2


class ConfigError(HamlearnError):
    """A workflow file, setting or command-line option is not acceptable."""


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


def nearest(name: str, valid: list[str] | tuple[str, ...]) -> str:
    """Return the valid name closest in spelling to ``name`` as ``"; did you mean 'x'?"`` or ``""``."""
    import difflib

    close = difflib.get_close_matches(str(name), [str(v) for v in valid], n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
