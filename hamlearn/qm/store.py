"""The folder of a campaign: what belongs to it, what is finished, failed or still to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hamlearn.artifacts import check_format, written_atomically
from hamlearn.errors import ArtifactError
from hamlearn.qm.record import PACK_NAME, load_record

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


def save_failure(folder: Path, key: str, reason: str) -> None:
    """Write why a calculation has no record."""
    fields = {"kind": FAILURE_KIND, "format_version": FAILURE_VERSION, "reason": reason}
    with written_atomically(failure_path(folder, key)) as temporary:
        temporary.write_text(json.dumps(fields, indent=1))


def write_manifest(folder: Path, settings: Mapping[str, Any], keys: Sequence[str], formulas: Sequence[str]) -> None:
    """Write what belongs to a campaign, unless its folder was made with other settings.

    Raises:
        ArtifactError: if it was, naming the difference.
    """
    manifest = read_manifest(folder)
    before = settings if manifest is None else manifest["settings"]
    changed = [
        f"{name} was {before.get(name)!r} and is now {value!r}"
        for name, value in settings.items()
        if before.get(name) != value
    ]
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


def unfinished(folder: Path, keys: Sequence[str], retry_failed: bool) -> list[str]:
    """Return the keys to compute: without a whole record, and without a failure unless those are tried again."""
    reasons, missing = read_outcomes(folder, keys)
    return [
        key
        for key in keys
        if (retry_failed if key in reasons else key in missing or not _is_whole(record_path(folder, key)))
    ]


def read_outcomes(folder: Path, keys: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    """Return the reasons of the failures among some keys, and the keys with neither record nor failure."""
    names = {path.name for path in folder.iterdir()}
    done = {key for key in keys if record_path(folder, key).name in names}
    if PACK_NAME in names:
        from hamlearn.qm.pack import packed_keys

        done |= packed_keys(folder).intersection(keys)
    failed = {key for key in set(keys) - done if failure_path(folder, key).name in names}
    return {key: _read_reason(failure_path(folder, key)) for key in failed}, set(keys) - done - failed


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes were writing; only for who holds the folder alone."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    try:
        load_record(path)
    except ArtifactError:
        return False
    return True


def _read_reason(path: Path) -> str:
    try:
        return str(json.loads(path.read_text())["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown, the file with the reason is damaged"


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
    reasons, missing = read_outcomes(folder, keys)
    failed, pending = sum(key in reasons for key in keys), sum(key in missing for key in keys)
    return CampaignStatus(len(keys), len(keys) - failed - pending, failed, pending)
