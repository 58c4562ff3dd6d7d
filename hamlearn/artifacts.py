"""What every file and folder written by hamlearn has in common: kind, format version, whole or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

from hamlearn.errors import ArtifactError


def check_format(fields: Mapping[str, Any], kind: str, version: int, source: str) -> None:
    """Raise ArtifactError unless an artifact is of this kind and no newer than this version."""
    found_kind, found_version = fields.get("kind"), fields.get("format_version")
    if found_kind != kind or not isinstance(found_version, Integral):
        raise ArtifactError(f"{source} is of kind {found_kind!r}, expected {kind!r}; give the right file")
    if int(found_version) > version:
        raise ArtifactError(
            f"{source} was written in format {found_version} of {kind}, this hamlearn reads up to {version}: "
            "upgrade hamlearn"
        )


@contextmanager
def written_atomically(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; what is written there is flushed to disk, then renamed to ``path``.

    If the block raises, nothing is left behind; if the process is killed, a file that starts with '.' and ends
    with '.tmp' may be, which nothing reads.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
