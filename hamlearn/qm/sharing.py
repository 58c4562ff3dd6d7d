"""Finished calculations of other folders: a store that runs share, and records of earlier runs.

A store is a folder of records named by geometry and settings, so that those of any settings lie in it side by side.
Runs keep hard links of the files (copies on another file system), so that every folder stays whole by itself: a store
may be deleted at any time, and a run moved. No file is ever changed in place; what is better takes its name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hamlearn.artifacts import write_json, written_atomically
from hamlearn.config import QMSettings
from hamlearn.errors import ArtifactError
from hamlearn.parallel import folder_lock
from hamlearn.qm.record import QMRecord, guesses_in, save_record
from hamlearn.qm.request import Request
from hamlearn.qm.store import (
    MANIFEST_NAME,
    failure_path,
    forget_failure,
    listed,
    other_settings,
    read_failure,
    read_manifest,
    record_name,
    record_path,
    remove_leftovers,
    whole_record,
)

STORE = ".hamlearn-qm"
"""Folder of the store beside those of runs."""
MARK, KIND, VERSION = "store.json", "qm_store", 1
SECONDS_TO_WAIT = 30.0
"""For another process that packs a store, or clears away what a killed one left."""


def store_of(named: str | None, beside: Path | None) -> Path | None:
    """Return the folder of the store that settings name, beside a run or at a place of its own; None for no store."""
    if named != "beside":
        return None if named is None else Path(named).resolve()
    return None if beside is None else beside.resolve().parent / STORE


def is_store(folder: Path) -> bool:
    """Return whether a folder is a store."""
    return (folder / MARK).exists()


@contextmanager
def open_store(folder: Path | None) -> Iterator[tuple[Path | None, str]]:
    """Hold a store together with other processes; give its folder, and what there is to say.

    A store that cannot be written is read; where there is none, None is given.

    Raises:
        ArtifactError: if a folder of something else is named.
    """
    if folder is None:
        yield None, ""
        return
    try:
        _make(folder)
    except OSError as error:
        words = f"the store {folder} cannot be written ({error.strerror}): what is computed stays in the run alone"
        yield (folder if folder.is_dir() else None), words
        return
    with folder_lock(folder, shared=True, patience=SECONDS_TO_WAIT):
        yield folder, ""


def check_store(folder: Path | None) -> None:
    """Refuse a folder of something else as a store; None is no store.

    Raises:
        ArtifactError: saying what it holds.
    """
    if folder is not None and folder.exists() and not is_store(folder):
        if not folder.is_dir():
            raise ArtifactError(f"qm.store {folder} is a file; name a folder, or none")
        others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        if others and not is_store(folder):  # nor has another process made it one meanwhile
            raise ArtifactError(
                f"qm.store {folder} holds something else ({', '.join(others[:5])}); name a new folder or one of a "
                "store; calculations of a run are taken by --qm-from RUN (qm_from=RUN in Python)"
            )


def _make(folder: Path) -> None:
    """Make the folder of a store, or clear away what killed processes left in it."""
    check_store(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not is_store(folder):
        with folder_lock(folder, shared=True, patience=SECONDS_TO_WAIT):  # or what is half written is cleared away
            write_json(folder / MARK, KIND, VERSION, {})
    with suppress(ArtifactError), folder_lock(folder):  # unless others work in it
        remove_leftovers(folder)


def source_of(folder: str | Path, settings: QMSettings) -> Path:
    """Return where the records of a run, an evaluation, a campaign or a store lie.

    Raises:
        ArtifactError: if there are none, or all were made with other settings, naming these.
    """
    folder = Path(folder).resolve()
    places = [folder, folder / "qm", folder.parent / "qm" if folder.name == "model" else folder]
    place = next((place for place in places if any((place / name).exists() for name in (MANIFEST_NAME, MARK))), None)
    if place is None:
        raise ArtifactError(
            f"{folder} holds no calculations; give the folder of a run, of an evaluation or of a campaign"
        )
    if not listed(place):
        raise ArtifactError(f"{folder} holds no finished calculation; leave it out, or give another folder")
    before = (read_manifest(place) or {"settings": {}})["settings"]
    of_molecules = {"charge", "multiplicity"}  # which count in the names of records
    now = settings.model_dump(mode="json", exclude=of_molecules)
    differing = other_settings(before, now) if before else []
    if differing:
        words = "; ".join(f"qm.{name} {was!r} there and {now!r} here" for name, was, now in differing)
        raise ArtifactError(
            f"{folder} was computed with other settings: {words}; give another folder, or the settings it has"
        )
    return place


@dataclass
class Sources:
    """Folders with finished calculations.

    Attributes:
        folders: in the order in which they are searched.
        counts: of the records taken from each.
    """

    folders: Sequence[Path]
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * len(self.folders)
        self._listed = [listed(source) for source in self.folders]

    def take(self, folder: Path, name: str, request: Request, retry_failed: bool = False) -> None:
        """Put the record that has most of what is wanted into a folder, if another has one, or why it failed.

        Args:
            folder: to put it in.
            name: of the calculation there.
            request: what is wanted.
            retry_failed: leave failures where they are.
        """
        wanted = {request.settings.guess, *request.guess_focks}
        own = guesses_in(record_path(folder, name))
        least = -1 if own is None or whole_record(record_path(folder, name)) is None else len(own & wanted)
        offers = []
        for k, (source, known) in enumerate(zip(self.folders, self._listed, strict=True)):
            there = record_name(request, known) or request.key  # which another process may have written since
            found = guesses_in(record_path(source, there))
            if found is not None and len(found & wanted) > least:
                offers.append((-len(found & wanted), k, record_path(source, there)))
        for minus, k, path in sorted(offers):
            if _is_of(whole_record(path), request) and place(path, record_path(folder, name)):
                self.counts[k] += 1
                least = -minus
                break
        if least >= 0:
            forget_failure(folder, name, guesses_in(record_path(folder, name)) or ())
        if least < len(wanted) and not retry_failed:
            self._take_failure(folder, name, request)

    def _take_failure(self, folder: Path, name: str, request: Request) -> None:
        for source in self.folders:
            for other in (request.key, request.old_key):
                known = read_failure(source, other, set(request.guess_focks)) is not None
                if known and place(failure_path(source, other), failure_path(folder, name)):
                    return


def _is_of(record: QMRecord | None, request: Request) -> bool:
    """Return whether a record is whole and of the molecule that is wanted."""
    return (
        record is not None
        and np.array_equal(record.numbers, request.numbers)
        and np.array_equal(record.positions, request.positions)
    )


def place(source: Path, target: Path) -> bool:
    """Give a file of another folder a name in this one, whole at any moment: a hard link, or a copy where none can be.

    A packed record is written as a file of its own.

    Returns:
        Whether it was there: another process may have removed it.
    """
    try:
        with written_atomically(target) as temporary:
            try:
                os.link(source, temporary)
            except OSError:  # another file system, or one without links
                shutil.copyfile(source, temporary)
    except FileNotFoundError:
        record = whole_record(source)
        if record is None:
            return False
        save_record(target, record)
    return True


def share(folder: Path, name: str, store: Path, key: str) -> None:
    """Give the record of a folder to the store, with the guess Fock matrices that either has.

    A store that cannot be written, or that somebody deleted, goes without.
    """
    own, known = record_path(folder, name), record_path(store, key)
    ours, theirs = whole_record(own), whole_record(known)
    if ours is None:
        return
    with suppress(OSError):
        forget_failure(store, key, ours.guess_focks)
        if theirs is None or theirs.guess_focks.keys() <= ours.guess_focks.keys():
            place(own, known)
        elif not ours.guess_focks.keys() <= theirs.guess_focks.keys():
            save_record(known, replace(theirs, guess_focks={**theirs.guess_focks, **ours.guess_focks}))


def share_failure(folder: Path, name: str, store: Path, key: str) -> None:
    """Give the store the reason why a calculation of a folder failed, if it can be written."""
    with suppress(OSError):
        place(failure_path(folder, name), failure_path(store, key))


def share_all(folder: Path, names: Sequence[str], requests: Sequence[Request], store: Path) -> None:
    """Give the store the files of all records that it lacks."""
    known = listed(store)
    for name, request in zip(names, requests, strict=True):
        if request.key not in known and record_path(folder, name).exists():
            share(folder, name, store, request.key)
