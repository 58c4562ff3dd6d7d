"""What a worker does for one molecule: calculate, write to disk, report how it went.

Workers import this module and what it needs, nothing of structures, learning or plotting.
"""

from __future__ import annotations

import json
from pathlib import Path

from hamlearn.artifacts import written_atomically
from hamlearn.config import QMSettings
from hamlearn.qm.calculation import run_scf
from hamlearn.qm.record import save_record
from hamlearn.types import FloatArray, IntArray

FAILURE_KIND = "qm_failure"
FAILURE_VERSION = 1


def record_path(folder: Path, key: str) -> Path:
    """Return where the record of a calculation lies."""
    return folder / f"{key}.npz"


def failure_path(folder: Path, key: str) -> Path:
    """Return where the reason lies why a calculation has no record."""
    return folder / f"{key}.failed.json"


def calculate(
    folder: Path,
    key: str,
    numbers: IntArray,
    positions_bohr: FloatArray,
    settings: QMSettings,
    guess_focks: tuple[str, ...],
) -> str | None:
    """Run one calculation and write its record, or the reason of its failure.

    Returns:
        The reason of the failure, None if it converged.
    """
    try:
        record = run_scf(numbers, positions_bohr, settings, guess_focks)
    except Exception as error:  # whatever PySCF raises on an odd molecule must not stop the others
        reason = f"{type(error).__name__}: {error}"
        save_failure(folder, key, reason)
        return reason
    save_record(record_path(folder, key), record)
    failure_path(folder, key).unlink(missing_ok=True)
    return None


def save_failure(folder: Path, key: str, reason: str) -> None:
    """Write why a calculation has no record."""
    fields = {"kind": FAILURE_KIND, "format_version": FAILURE_VERSION, "reason": reason}
    with written_atomically(failure_path(folder, key)) as temporary:
        temporary.write_text(json.dumps(fields, indent=1))
