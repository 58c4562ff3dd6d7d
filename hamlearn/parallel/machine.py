"""What operating systems do in different ways: locks of files, number of cores, peak memory."""

from __future__ import annotations

import os
import sys
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def lock_file(file: IO[str], shared: bool) -> None:
        """Lock an open file for this process, or raise OSError; Windows knows no shared locks, and locks nothing."""
        if not shared:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def peak_memory_gb() -> float:
        """Return the largest memory this process has had, GB; 0 as Windows tells it to other programs alone."""
        return 0.0

else:
    import fcntl
    import resource

    def lock_file(file: IO[str], shared: bool) -> None:
        """Lock an open file for this process, or with others that share it, or raise OSError; goes with the process."""
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)

    def peak_memory_gb() -> float:
        """Return the largest memory this process has had, GB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * bytes_per_unit(sys.platform) / 1e9


def bytes_per_unit(platform: str) -> int:
    """Return the unit of ``ru_maxrss``: kilobytes, but bytes on macOS."""
    return 1 if platform == "darwin" else 1024


def n_cores() -> int:
    """Return the number of cores this process may use; all where the system does not limit it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
