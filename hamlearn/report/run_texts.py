"""Results and settings of a run folder, which need nothing heavy to be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hamlearn.artifacts import check_format
from hamlearn.config import FORMAT_VERSION, upgraded
from hamlearn.errors import ArtifactError

ADVICE = "delete it and run `hamlearn run` on this folder again"


def read_results(folder: Path) -> Mapping[str, Any]:
    """Return what results.json holds.

    Raises:
        ArtifactError: if it is missing or damaged.
    """
    return _read_text(folder / "results.json", json.loads, ("n_train",))


def read_settings(folder: Path) -> Mapping[str, Any]:
    """Return what config.yaml holds, whether or not the structures of the run are still there.

    Raises:
        ArtifactError: if it is missing, damaged or of a newer format.
    """
    path = folder / "config.yaml"
    config = _read_text(path, yaml.safe_load, ("kind", "format_version", "target", "model"))
    check_format(config, "config", FORMAT_VERSION, str(path))
    return upgraded(config)


def _read_text(path: Path, parse: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    """The mapping in a text file, which must have the given names."""
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(
            f"{path} does not exist, but a report needs it; give the folder of a finished `hamlearn run`"
        ) from None
    except (ValueError, yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, Mapping) or not set(names) <= set(content):
        raise ArtifactError(f"{path} is damaged; {ADVICE}")
    return content
