"""What a worker does for one molecule: calculate, write to disk, report how it went.

Workers import this module and what it needs, nothing of structures, learning or plotting.
"""

from __future__ import annotations

from pathlib import Path

from hamlearn.config import QMSettings
from hamlearn.qm.calculation import run_scf
from hamlearn.qm.record import save_record
from hamlearn.qm.store import failure_path, record_path, save_failure
from hamlearn.types import FloatArray, IntArray


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
