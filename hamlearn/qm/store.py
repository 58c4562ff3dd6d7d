"""The folder of a campaign: what belongs to it, what is finished, failed or still to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from hamlearn.artifacts import check_format, written_atomically
from hamlearn.config import QMSettings
from hamlearn.errors import ArtifactError
from hamlearn.qm.record import PACK_NAME, QMRecord, guesses_in, load_record
from hamlearn.qm.request import Request

MANIFEST_NAME = "campaign.json"
MANIFEST_KIND = "qm_campaign"
MANIFEST_VERSION = 1
FAILURE_KIND = "qm_failure"
FAILURE_VERSION = 1


@dataclass(frozen=True)
class CampaignStatus:
    """How many structures of a campaign have a record, a recorded failure, or neither yet."""

    total: int
    done: int
    failed: int
    pending: int


def record_path(folder: Path, key: str) -> Path:
    """Return where the record of a calculation lies."""
    return folder / f"{key}.npz"


def failure_path(folder: Path, key: str) -> Path:
    """Return where the reason lies why a calculation has no record."""
    return folder / f"{key}.failed.json"


def save_failure(folder: Path, key: str, reason: str, guess_focks: Iterable[str] = ()) -> None:
    """Write why a calculation has no record, or none with the guess Fock matrices that were asked for."""
    wanted = sorted(set(guess_focks))
    fields = {"kind": FAILURE_KIND, "format_version": FAILURE_VERSION, "reason": reason, "guess_focks": wanted}
    with written_atomically(failure_path(folder, key)) as temporary:
        temporary.write_text(json.dumps(fields, indent=1))


def write_manifest(folder: Path, settings: Mapping[str, Any], keys: Sequence[str], formulas: Sequence[str]) -> None:
    """Write what belongs to a campaign, unless its folder was made with other settings.

    Raises:
        ArtifactError: if it was, naming the difference.
    """
    manifest = read_manifest(folder)
    before = settings if manifest is None else manifest["settings"]
    changed = [f"{name} was {was!r} and is now {now!r}" for name, was, now in other_settings(before, settings)]
    if changed:
        raise ArtifactError(
            f"{folder} was made with other settings: {'; '.join(changed)}; use another folder or the old settings"
        )
    fields = {
        "kind": MANIFEST_KIND,
        "format_version": MANIFEST_VERSION,
        "settings": dict(settings),
        "keys": list(keys),
        "formulas": list(formulas),
    }
    with written_atomically(folder / MANIFEST_NAME) as temporary:
        temporary.write_text(json.dumps(fields, indent=1))


def other_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return name, old and new value of the settings that differ; further guesses are added to records as needed."""
    before = {**QMSettings().model_dump(mode="json"), **before}  # settings that older versions did not have
    names = [name for name in now if name != "guess_focks"]
    return [(name, before.get(name), now[name]) for name in names if before.get(name) != now[name]]


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return what belongs to a campaign, None if the folder holds none.

    Raises:
        ArtifactError: if the file is damaged or of a newer format.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = json.loads(path.read_text())
        check_format(manifest, MANIFEST_KIND, MANIFEST_VERSION, str(path))
        return {**manifest, "settings": dict(manifest["settings"]), "keys": list(manifest["keys"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); delete it, the records beside it are kept") from None


def names_in(folder: Path, requests: Sequence[Request]) -> list[str]:
    """Return the name each calculation has in a folder: of its record or failure if there is one, else its key.

    Older versions gave other names, and these stay.
    """
    found = listed(folder)
    if found <= {request.key for request in requests}:
        return [request.key for request in requests]
    names = []
    for request in requests:
        old = request.old_key if failure_path(folder, request.old_key).exists() else request.key
        names.append(record_name(request, found) or old)
    return names


def record_name(request: Request, found: Set[str]) -> str | None:
    """Return which of the names in a folder is that of a record of a calculation, today's first; None if none is."""
    return next((name for name in chain([request.key], request.old_keys()) if name in found), None)


def listed(folder: Path) -> set[str]:
    """Return the names of the records of a folder, in files or packed; none if there is no folder."""
    if not folder.is_dir():
        return set()
    files = {path.name for path in folder.iterdir()}
    found = {name.removesuffix(".npz") for name in files if name.endswith(".npz") and not name.startswith(".")}
    if PACK_NAME in files:
        from hamlearn.qm.pack import packed_keys

        found |= packed_keys(folder)
    return found


def unfinished(folder: Path, keys: Sequence[str], guess_focks: Iterable[str], retry_failed: bool) -> list[str]:
    """Return the keys to compute: without a whole record, and without a failure unless those are tried again."""
    reasons, missing = read_outcomes(folder, keys, guess_focks)
    return [
        key
        for key in keys
        if (retry_failed if key in reasons else key in missing or whole_record(record_path(folder, key)) is None)
    ]


def read_outcomes(folder: Path, keys: Sequence[str], guess_focks: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """Return the reasons of the failures among some keys, and the keys with neither record nor failure.

    A record without one of the guess Fock matrices is none.
    """
    wanted = set(guess_focks)
    done = listed(folder).intersection(keys)
    if wanted:
        done = {key for key in done if wanted <= (guesses_in(record_path(folder, key)) or set())}
    reasons = {key: reason for key in set(keys) - done if (reason := read_failure(folder, key, wanted)) is not None}
    return reasons, set(keys) - done - set(reasons)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes were writing; only for who holds the folder alone."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def whole_record(path: Path) -> QMRecord | None:
    """Read a record, if a whole one is there."""
    try:
        return load_record(path)
    except ArtifactError:
        return None


def read_failure(folder: Path, key: str, wanted: set[str]) -> str | None:
    """Return why a calculation failed that asked for no more guesses than wanted; None if there was none."""
    try:
        fields = json.loads(failure_path(folder, key).read_text())
        return str(fields["reason"]) if wanted.issuperset(fields.get("guess_focks", ())) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "unknown, the file with the reason is damaged"


def forget_failure(folder: Path, key: str, known: Iterable[str]) -> None:
    """Remove what failed, now that there is a record with some guesses; that another guess failed stays known."""
    if read_failure(folder, key, set(known)) is not None:
        failure_path(folder, key).unlink(missing_ok=True)


def campaign_status(folder: str | Path) -> CampaignStatus:
    """Return how far a campaign is, also while it runs.

    Raises:
        ArtifactError: if the folder holds no campaign.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        raise ArtifactError(f"{folder} holds no campaign ({MANIFEST_NAME} is missing); give the folder of one")
    keys = manifest["keys"]
    reasons, missing = read_outcomes(folder, keys, manifest["settings"].get("guess_focks", ()))
    failed, pending = sum(key in reasons for key in keys), sum(key in missing for key in keys)
    return CampaignStatus(len(keys), len(keys) - failed - pending, failed, pending)
