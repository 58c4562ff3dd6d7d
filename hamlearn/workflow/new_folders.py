"""Folders that a command fills once: nothing that lies in one already is overwritten or mixed with."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from hamlearn.errors import ArtifactError
from hamlearn.parallel import folder_lock
from hamlearn.parallel.locks import LOCK

STRUCTURES, MATRICES, PROPERTIES = "predictions.extxyz", "hamiltonians.h5", "properties.npz"
UNFINISHED = (MATRICES, PROPERTIES)
"""What a killed prediction leaves; the structures are written last."""


@contextmanager
def new_folder(out: Path, unfinished: Collection[str] = ()) -> Iterator[None]:
    """Make and lock a folder that :func:`refuse_used` accepts."""
    refuse_used(out, unfinished)
    with folder_lock(out):
        refuse_used(out, unfinished)  # another process may have been faster
        yield


def refuse_used(
    out: Path, unfinished: Collection[str] = (), advice: str = "give a new folder, nothing is overwritten"
) -> None:
    """Raise ArtifactError unless a folder is new, empty, or holds only what a killed try of the same command left.

    Args:
        out: the folder.
        unfinished: what such a try may leave beside hidden files; what is written last is not among it. Files of
            these names in a folder that was never locked are somebody else's.
        advice: what to do.
    """
    if out.exists() and not out.is_dir():
        raise ArtifactError(f"{out} is a file; give a new folder")
    if not out.exists():
        return
    own = unfinished if (out / LOCK).exists() else ()
    others = sorted(item.name for item in out.iterdir() if not item.name.startswith(".") and item.name not in own)
    if others:
        raise ArtifactError(f"{out} is not empty ({', '.join(others[:5])}); {advice}")
