"""What a worker does for one molecule: calculate, write to disk, report how it went.

Workers import this module and what it needs, nothing of structures, learning or plotting.
"""

from __future__ import annotations

from pathlib import Path

from hamlearn.config import QMSettings
from hamlearn.qm.calculation import run_scf, with_guesses
from hamlearn.qm.record import save_record
from hamlearn.qm.request import Request
from hamlearn.qm.sharing import Sources, share, share_failure
from hamlearn.qm.store import forget_failure, record_path, save_failure, whole_record
from hamlearn.types import FloatArray, IntArray


def calculate(
    folder: Path,
    key: str,
    numbers: IntArray,
    positions_bohr: FloatArray,
    settings: QMSettings,
    guess_focks: tuple[str, ...],
    store: Path | None = None,
) -> str | None:
    """Run one calculation and write its record, or the reason of its failure, here and in the store.

    Of a record that is there already, or in the store meanwhile, only guess Fock matrices it lacks are computed.

    Returns:
        The reason of the failure, None if it converged.
    """
    request, path = Request(numbers, positions_bohr, settings, guess_focks), record_path(folder, key)
    if store is not None:
        Sources([store]).take(folder, key, request, retry_failed=True)
    try:
        known = whole_record(path)
        if known is None:
            record = run_scf(numbers, positions_bohr, settings, guess_focks)
        else:
            record = with_guesses(known, settings, guess_focks)
    except Exception as error:  # whatever PySCF raises on an odd molecule must not stop the others
        reason = f"{type(error).__name__}: {error}"
        save_failure(folder, key, reason, guess_focks)
        if store is not None and not isinstance(error, MemoryError | OSError):  # those are of this machine
            share_failure(folder, key, store, request.key)
        return reason
    if record is not known:
        save_record(path, record)
    forget_failure(folder, key, record.guess_focks)
    if store is not None:
        share(folder, key, store, request.key)
    return None
