"""Many calculations over an executor: content-addressed, resumable, with recorded failures.

A campaign is a folder: one ``KEY.npz`` for each finished calculation or one ``KEY.failed.json`` with the reason,
KEY being the hash of geometry and settings; ``campaign.json`` lists what belongs to it. The disk is the truth: a
process may be killed at any moment, and the same call continues.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hamlearn.config import QMSettings
from hamlearn.display import Shown
from hamlearn.equality import ByValue
from hamlearn.errors import ArtifactError, check_type
from hamlearn.parallel import WorkerDied, folder_lock, open_executor, run_tasks
from hamlearn.progress import Progress
from hamlearn.qm.guess import as_guesses, check_elements
from hamlearn.qm.method import check_functional
from hamlearn.qm.molecule import check_basis, formula, n_functions
from hamlearn.qm.pyscf_settings import check_defaults
from hamlearn.qm.record import QMRecord, load_record, record_key
from hamlearn.qm.store import (
    campaign_status,
    read_outcomes,
    record_path,
    remove_leftovers,
    save_failure,
    unfinished,
    write_manifest,
)
from hamlearn.qm.task import calculate
from hamlearn.types import Echo
from hamlearn.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from hamlearn.structures import Structures

COST_POWER = 3.5
"""Of the number of functions with which the time of a calculation grows, where it is not short."""
DEATH = "the calculation killed its worker twice (out of memory, or a crash in compiled code)"


@dataclass(frozen=True, eq=False, repr=False)
class Campaign(ByValue, Shown):
    """What a campaign left on disk.

    Attributes:
        folder: where the records are.
        keys: name of the calculation of every structure, in input order; equal structures have equal keys.
        failures: index of every structure whose calculation failed, with the reason.
        missing: indices of structures not computed yet (by other shards); empty for a whole campaign.
        seconds: wall time of this run.
    """

    folder: Path
    keys: tuple[str, ...]
    failures: Mapping[int, str]
    missing: tuple[int, ...]
    seconds: float

    def shown(self) -> dict[str, object]:
        """Return the folder, how many structures have a record, and the first keys."""
        return {
            "folder": self.folder,
            "n_structures": len(self.keys),
            "done": len(self.keys) - len(self.failures) - len(self.missing),
            "failed": len(self.failures),
            "missing": len(self.missing),
            "seconds": round(self.seconds, 1),
            "keys": tuple(f"{key[:12]}..." for key in self.keys),
        }

    def load(self, index: int) -> QMRecord:
        """Read the record of a structure, counted in input order from 0, or from the end by negative numbers.

        Raises:
            ArtifactError: if it failed, has not been computed, or is not there.
        """
        check_type(index, Integral, "index", "the number of a structure")
        if not -len(self.keys) <= index < len(self.keys):
            raise ArtifactError(f"there is no structure {index}; the campaign has {len(self.keys)}, counted from 0")
        index = int(index) % len(self.keys)
        if index in self.failures:
            raise ArtifactError(f"structure {index} has no record: {self.failures[index]}")
        return load_record(record_path(self.folder, self.keys[index]))


def run_campaign(
    structures: Structures,
    settings: QMSettings,
    folder: str | Path,
    *,
    guess_focks: str | Sequence[str] = (),
    executor: str = "serial",
    shard: tuple[int, int] | None = None,
    retry_failed: bool = False,
    echo: Echo = None,
) -> Campaign:
    """Compute what is not yet in the folder, equal structures once.

    Args:
        structures: molecules and ions, Å: a list, a single one, or a file ASE reads. Their charges may differ.
        settings: method, functional, basis, guess, threshold.
        folder: made if missing; everything finished there is kept.
        guess_focks: further guesses, one or several, whose Fock matrix to keep (see :mod:`hamlearn.qm.guess`).
        executor: see :func:`~hamlearn.parallel.open_executor`.
        shard: (i, n) to compute only every n-th calculation from the i-th, beside the other shards.
        retry_failed: compute again what failed before; otherwise it is only reported.
        echo: takes lines about the progress, such as ``print``.

    Returns:
        Keys, failures and wall time; failed calculations do not stop the others.

    Raises:
        ConfigError, BasisError, StructureError: if anything cannot be computed, before any calculation.
        ArtifactError: if another process works in the folder, or it was made with other settings.
    """
    from hamlearn.structures import as_structures
    from hamlearn.structures.charges import of_molecule

    start = time.perf_counter()
    structures = as_structures(structures)
    check_campaign(structures, settings, guess_focks)
    guess_focks = as_guesses(guess_focks)
    open_executor(executor)  # refuses a wrong one before anything is written
    folder = Path(folder).resolve()
    tasks = [
        (atoms.numbers, atoms.positions / BOHR_ANGSTROM, of_molecule(settings, atoms), tuple(guess_focks))
        for atoms in structures
    ]
    keys = tuple(record_key(*task) for task in tasks)
    task_of_key = dict(zip(keys, tasks, strict=True))
    with folder_lock(folder, shard):
        described = {**settings.model_dump(), "guess_focks": sorted(set(guess_focks) - {settings.guess})}
        write_manifest(folder, described, keys, [formula(atoms.numbers) for atoms in structures])
        if shard is None:
            remove_leftovers(folder)
        mine = list(task_of_key) if shard is None else list(task_of_key)[shard[0] :: shard[1]]
        todo = unfinished(folder, mine, retry_failed)
        costs = [n_functions(settings.basis, task_of_key[key][0]) ** COST_POWER for key in todo]
        with Progress("quantum chemistry", costs, echo) as progress:
            for index, outcome in run_tasks(executor, calculate, [(folder, key, *task_of_key[key]) for key in todo]):
                if isinstance(outcome, WorkerDied):
                    save_failure(folder, todo[index], DEATH)
                progress.advance(failed=outcome is not None, items=[index])
        reasons, missing = read_outcomes(folder, keys)
    return Campaign(
        folder=folder,
        keys=keys,
        failures={i: reasons[key] for i, key in enumerate(keys) if key in reasons},
        missing=tuple(i for i, key in enumerate(keys) if key in missing),
        seconds=time.perf_counter() - start,
    )


def check_campaign(structures: Structures, settings: QMSettings, guess_focks: str | Sequence[str] = ()) -> None:
    """Refuse, before any calculation, whatever cannot be computed.

    Raises:
        ConfigError: for the functional or a guess.
        StructureError: listing all structures that cannot be used.
        BasisError: for an unknown basis or elements it lacks, or the basis of a guess.
    """
    from hamlearn.structures import as_structures, check_structures

    structures = as_structures(structures)
    check_type(settings, QMSettings, "settings", "QMSettings(...)")
    check_defaults()
    guess_focks = as_guesses(guess_focks)
    if settings.xc is not None:
        check_functional(settings.xc)
    check_structures(structures, qm=settings)
    species = np.unique(np.concatenate([atoms.numbers for atoms in structures]))
    check_basis(settings.basis, species)
    check_elements({settings.guess, *guess_focks}, species, settings.basis)


def pack_campaign(folder: str | Path) -> Path:
    """Move the finished records of a campaign into one HDF5 file, from which they load as before.

    Returns:
        The file. Killed at any moment, every record is in the file, beside it, or both.

    Raises:
        ArtifactError: if the folder holds no campaign or a process works in it.
    """
    from hamlearn.qm.pack import pack_records

    folder = Path(folder)
    campaign_status(folder)
    with folder_lock(folder):
        return pack_records(folder)
