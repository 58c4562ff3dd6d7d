"""One process per folder, and shares of a job array that work in one folder without any engine."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from hamlearn.errors import ArtifactError, ConfigError
from hamlearn.parallel.machine import lock_file

LOCK = ".lock"
"""Name of the empty file in every folder that was ever locked."""
SECONDS_BETWEEN_TRIES = 0.05


def parse_shard(text: str) -> tuple[int, int]:
    """Return (i, n) of ``"i/n"``, the i-th of n equal shares counted from 0.

    Raises:
        ConfigError: unless 0 <= i < n.
    """
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not int(match[1]) < int(match[2]):
        raise ConfigError(f"shard '{text}' is not valid; expected i/n with i from 0 to n - 1, such as 0/10 to 9/10")
    return int(match[1]), int(match[2])


@contextmanager
def folder_lock(
    folder: str | Path, shard: tuple[int, int] | None = None, shared: bool = False, patience: float = 0.0
) -> Iterator[None]:
    """Hold a folder for this process alone, or for this shard of a job array beside the other shards.

    The lock belongs to the open file, so it goes with the process however that ends; the empty files stay.

    Args:
        folder: made if missing.
        shard: (i, n); different shards may work in one folder at the same time.
        shared: hold it beside all others that share it.
        patience: how long to wait for another process, seconds.

    Raises:
        ArtifactError: if another process holds the folder or the same shard of it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + patience
    with ExitStack() as stack:
        if shard is None:
            locks = [(LOCK, shared, "")]
        else:
            own = f".lock-shard-{shard[0]}-of-{shard[1]}"
            locks = [(LOCK, True, ""), (own, False, f" as shard {shard[0]}/{shard[1]}")]
        for name, shared, role in locks:
            file = stack.enter_context(open(folder / name, "a"))
            while not _locked(file, shared):
                if time.monotonic() >= end:
                    raise ArtifactError(
                        f"another process is working in {folder}{role}; wait until it has ended, or use another folder"
                    )
                time.sleep(SECONDS_BETWEEN_TRIES)
        yield


def _locked(file: IO[str], shared: bool) -> bool:
    try:
        lock_file(file, shared)
    except OSError:
        return False
    return True
