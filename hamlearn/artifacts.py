"""What every file and folder written by hamlearn has in common: kind, format version, whole or absent."""

from __future__ import annotations

import json
import math
import os
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from hamlearn.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    with '.tmp' may be, which nothing reads. Nor is it written again: it may be a hard link to a file of another folder,
    and numbers of processes return.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as npz without pickle; the file is whole or absent at any moment."""
    import numpy as np

    with written_atomically(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_arrays(path: str | Path, advice: str, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read named arrays written by :func:`save_arrays`.

    Args:
        path: npz file.
        advice: what to do if it is missing or damaged, for the message.
        names: which to read; all by default.

    Raises:
        ArtifactError: if the file is missing, truncated or no npz, or lacks a name.
    """
    import numpy as np

    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in (archive.files if names is None else names)}
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}; {advice}") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path} is truncated or damaged ({error}); {advice}") from None


def write_json(path: str | Path, kind: str, version: int, content: Mapping[str, Any]) -> None:
    """Write a mapping as strict JSON (null for NaN) under its kind and version, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {"kind": kind, "format_version": version, **_without_nan(dict(content))}
    with written_atomically(path) as temporary:
        temporary.write_text(json.dumps(fields, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path, kind: str, version: int, advice: str) -> dict[str, Any]:
    """Read a mapping written by :func:`write_json`, without its kind and version.

    Raises:
        ArtifactError: if the file is missing, damaged, of another kind or of a newer version.
    """
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"there is no {path}; {advice}") from None
    except (ValueError, OSError) as error:
        raise ArtifactError(f"{path} is truncated or damaged ({error}); {advice}") from None
    if not isinstance(fields, dict):
        raise ArtifactError(f"{path} is truncated or damaged; {advice}")
    check_format(fields, kind, version, str(path))
    return {name: value for name, value in fields.items() if name not in ("kind", "format_version")}


def _without_nan(content: Any) -> Any:
    """Return the same content with null for NaN and infinity, which JSON does not have."""
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
