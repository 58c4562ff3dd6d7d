"""Many calculations over an executor: content-addressed, resumable, with recorded failures.

A campaign is a folder: one ``KEY.npz`` for each finished calculation or one ``KEY.failed.json`` with the reason,
KEY being the hash of geometry and settings; ``campaign.json`` lists what belongs to it. The disk is the truth: a
process may be killed at any moment, and the same call continues. What other folders or a store have is taken from them
(:mod:`hamlearn.qm.sharing`); a record that lacks the Fock matrix of a guess gets it, without another SCF.
"""

from __future__ import annotations

import hashlib
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
from hamlearn.qm.molecule import COST_POWER, check_basis, formula, n_functions
from hamlearn.qm.options import check_options
from hamlearn.qm.pyscf_settings import check_defaults
from hamlearn.qm.record import QMRecord, guesses_in, load_record
from hamlearn.qm.request import Request
from hamlearn.qm.sharing import Sources, is_store, open_store, share_all, source_of, store_of
from hamlearn.qm.store import (
    campaign_status,
    names_in,
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
    store: str | Path | None = None,
    qm_from: str | Path | Sequence[str | Path] = (),
) -> Campaign:
    """Compute what is not yet in the folder, nor in others, equal structures once.

    Args:
        structures: molecules and ions, Å: a list, a single one, or a file ASE reads. Their charges may differ.
        settings: method, functional, basis, guess, threshold.
        folder: made if missing; everything finished there is kept.
        guess_focks: further guesses, one or several, whose Fock matrix to keep (see :mod:`hamlearn.qm.guess`).
        executor: see :func:`~hamlearn.parallel.open_executor`.
        shard: (i, n) to compute only every n-th calculation from the i-th, beside the other shards.
        retry_failed: compute again what failed before; otherwise it is only reported.
        echo: takes lines about the progress, such as ``print``.
        store: folder of calculations that campaigns share, made if missing; by default the one that settings name.
        qm_from: folders of runs, evaluations or campaigns, one or several, whose finished calculations to take.

    Returns:
        Keys, failures and wall time; failed calculations do not stop the others.

    Raises:
        ConfigError, BasisError, StructureError: if anything cannot be computed, before any calculation.
        ArtifactError: if another process works in the folder, or it was made with other settings; or if a folder
            to take from holds nothing, or calculations by other settings.
    """
    from hamlearn.structures import as_structures
    from hamlearn.structures.charges import of_molecule

    start = time.perf_counter()
    structures = as_structures(structures)
    check_campaign(structures, settings, guess_focks)
    guesses = tuple(sorted(set(as_guesses(guess_focks)) - {settings.guess}))
    open_executor(executor)  # refuses a wrong one before anything is written
    given = [qm_from] if isinstance(qm_from, str | Path) else qm_from
    sources = [source_of(each, settings) for each in given]
    folder = Path(folder).resolve()
    requests = [
        Request(atoms.numbers, atoms.positions / BOHR_ANGSTROM, of_molecule(settings, atoms), guesses)
        for atoms in structures
    ]
    wanted_store = store_of(settings.store, None) if store is None else Path(store).resolve()
    with folder_lock(folder, shard), open_store(wanted_store) as (shared, words):
        keys = names_in(folder, requests)
        described = {**settings.model_dump(mode="json"), "guess_focks": list(guesses)}
        write_manifest(folder, described, keys, [formula(atoms.numbers) for atoms in structures])
        if shard is None:
            remove_leftovers(folder)
        if echo is not None and words:
            echo(words)
        first, step = shard or (0, 1)
        mine = dict(list(dict(zip(keys, requests, strict=True)).items())[first::step])
        todo = _take(folder, mine, sources, shared, retry_failed, echo)
        _compute(folder, {key: mine[key] for key in todo}, shared, executor, echo)
        reasons, missing = read_outcomes(folder, keys, guesses)
    return Campaign(
        folder=folder,
        keys=tuple(keys),
        failures={i: reasons[key] for i, key in enumerate(keys) if key in reasons},
        missing=tuple(i for i, key in enumerate(keys) if key in missing),
        seconds=time.perf_counter() - start,
    )


def _take(
    folder: Path, requests: Mapping[str, Request], sources: Sequence[Path], store: Path | None, retry: bool, echo: Echo
) -> list[str]:
    """Take what other folders have, give the store what it lacks, and return the names of what is left to compute."""
    guesses = next(iter(requests.values())).guess_focks if requests else ()
    todo = unfinished(folder, list(requests), guesses, retry)
    places = Sources([*sources, *([] if store is None else [store])])
    n_own = len(requests) - len(todo)
    for key in todo:
        places.take(folder, key, requests[key], retry)
    todo = unfinished(folder, todo, guesses, retry)
    if store is not None:
        share_all(folder, list(requests), list(requests.values()), store)
    if echo is not None and (sources or any(places.counts) or (n_own and todo)):
        had = [f"{n_own} there already"] if n_own else []
        counts = list(zip(places.folders, places.counts, strict=True))
        found = [f"{count} from {place}" for place, count in counts if count or (todo and place in sources)]
        echo(f"calculations: {len(requests)}, {', '.join([*had, *found, f'{len(todo)} to compute'])}")
    if echo is not None and (known := sum(guesses_in(record_path(folder, key)) is not None for key in todo)):
        echo(f"calculations: {known} lack only the guess Fock matrix {', '.join(guesses)}, which takes no other SCF")
    return todo if store is None else _in_own_order(folder, todo)


def _in_own_order(folder: Path, keys: Sequence[str]) -> list[str]:
    """Return keys in an order that each folder has for itself: runs that start together meet others' results."""
    return sorted(keys, key=lambda key: hashlib.sha256(f"{folder} {key}".encode()).digest())


def _compute(folder: Path, requests: Mapping[str, Request], store: Path | None, executor: str, echo: Echo) -> None:
    tasks = [(folder, key, r.numbers, r.positions, r.settings, r.guess_focks, store) for key, r in requests.items()]
    costs = [n_functions(r.settings.basis, r.numbers) ** COST_POWER for r in requests.values()]
    with Progress("quantum chemistry", costs, echo) as progress:
        for index, outcome in run_tasks(executor, calculate, tasks):
            if isinstance(outcome, WorkerDied):  # of too little memory here, perhaps: no other run is told
                save_failure(folder, tasks[index][1], DEATH, tasks[index][5])
            progress.advance(failed=outcome is not None, items=[index])


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
    check_options(settings)
    check_structures(structures, qm=settings)
    species = np.unique(np.concatenate([atoms.numbers for atoms in structures]))
    check_basis(settings.basis, species)
    check_elements({settings.guess, *guess_focks}, species, settings.basis)


def pack_campaign(folder: str | Path) -> Path:
    """Move the finished records of a campaign, or of a store, into one HDF5 file, from which they load as before.

    Returns:
        The file. Killed at any moment, every record is in the file, beside it, or both.

    Raises:
        ArtifactError: if the folder holds neither, or a process works in it.
    """
    from hamlearn.qm.pack import pack_records

    folder = Path(folder)
    if not is_store(folder):
        campaign_status(folder)
    with folder_lock(folder):
        return pack_records(folder)
