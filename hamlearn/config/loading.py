"""From a workflow file to a validated Config, or to one message that lists everything wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from hamlearn.artifacts import check_format
from hamlearn.config.section import Section
from hamlearn.config.sections import FORMAT_VERSION, Config
from hamlearn.config.upgrade import renamed, upgraded
from hamlearn.errors import ConfigError, check_type, nearest

SectionType = TypeVar("SectionType", bound=Section)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a workflow file, or the resolved config.yaml of a run folder.

    Args:
        path: YAML file.
        overrides: settings that replace those of the file, each ``section.name=value`` with a YAML value.

    Returns:
        The configuration with every default filled in and an absolute ``structures.file``.

    Raises:
        ConfigError: if the file or a setting is not acceptable; the message lists all problems.
        ArtifactError: if the file is another artifact, or written by a newer hamlearn.
    """
    check_type(path, (str, os.PathLike), "path", "that of a workflow file", ConfigError)
    path = Path(path)
    settings = _read_mapping(path)
    resolved = "kind" in settings
    if resolved:
        check_format(settings, "config", FORMAT_VERSION, str(path))
    try:
        settings = upgraded(settings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    for provenance in ("kind", "format_version", "versions"):
        settings.pop(provenance, None)
    for override in overrides:
        _override(settings, override)
    source = f"{path} with --set {' --set '.join(overrides)}" if overrides else str(path)
    config = build_config(settings, source)
    structures = _locate(config.structures.file, path.parent, expand=not resolved)
    located = {"structures": config.structures.model_copy(update={"file": structures}), "qm": config.qm}
    if config.qm is not None and config.qm.store not in (None, "beside"):
        store = str((path.parent / _expanded(config.qm.store, "qm.store")).resolve())
        located["qm"] = config.qm.model_copy(update={"store": store})
    return config.model_copy(update=located)


def build_config(settings: Mapping[str, Any], source: str = "the configuration") -> Config:
    """Validate a nested mapping of settings.

    Args:
        settings: section -> name -> value.
        source: where the settings come from, for the message.

    Raises:
        ConfigError: listing every problem in words.
    """
    return Config.model_validate(settings, source=source)


def changed_section(section: SectionType, changes: Mapping[str, Any], source: str) -> SectionType:
    """Return a section with some settings replaced, validated.

    Raises:
        ConfigError: if a value is not acceptable.
    """
    return type(section).model_validate(section.model_dump() | dict(changes), source=source)


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 1e-8 is a number, and a name given twice in one section is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ConfigError(f"{_place(key.start_mark)}: '{key.value}' is given twice; keep one of them")
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else key)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Return a number, unless it would be read as one of base 8 or 60, as YAML 1.1 has it."""
        if _OF_OTHER_BASE.fullmatch(node.value):
            raise ConfigError(
                f"{_place(node.start_mark)}: {node.value} is a number of base {60 if ':' in node.value else 8} in "
                f"YAML 1.1; expected a decimal number without leading zeros or colons, or a text in quotes"
            )
        kind = node.tag.rpartition(":")[2]
        return self.construct_yaml_int(node) if kind == "int" else self.construct_yaml_float(node)


_OF_OTHER_BASE = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _place(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _read_yaml(text: str, source: str) -> Any:
    try:
        return _Loader(text).get_single_data()
    except ConfigError as error:
        raise ConfigError(f"{source}, {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: such as a 13th month
        mark = getattr(error, "problem_mark", None)
        where = f", {_place(mark)}" if mark else ""
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        raise ConfigError(
            f"{source} is not valid YAML{where}: {what}; check that the file is complete and that brackets, "
            "colons and indentation match"
        ) from None


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        beside = [each.name for each in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise ConfigError(
            f"workflow file {path} does not exist{nearest(path.name, beside)}; give the path of a YAML file"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file; a workflow is a YAML file in UTF-8") from None
    except OSError as error:
        raise ConfigError(
            f"workflow file {path} cannot be read: {error.strerror}; give the path of a YAML file"
        ) from None
    settings = _read_yaml(text, str(path))
    if settings is None:
        raise ConfigError(f"workflow file {path} is empty; `hamlearn config --defaults` prints one to start from")
    if not isinstance(settings, dict):
        raise ConfigError(
            f"{path} holds a {type(settings).__name__} where sections (structures:, qm:, ...) were expected; "
            "`hamlearn config --defaults` prints one to fill in"
        )
    return settings


def _override(settings: dict[str, Any], override: str) -> None:
    """Set one ``a.b=value`` in nested settings."""
    name, equals, text = override.partition("=")
    given = name.strip().split(".")
    if not equals or not all(given):
        raise ConfigError(f"--set got '{override}', expected section.name=value, e.g. --set model.features.max_l=4")
    (*sections, leaf), value = renamed(given, _read_yaml(text, f"--set {override}"))
    for section in sections:
        if settings.get(section) is None:
            settings[section] = {}
        settings = settings[section]
        if not isinstance(settings, dict):
            raise ConfigError(f"--set {override}: '{section}' is a value, not a section of settings")
    settings[leaf] = value


def _expanded(text: str, name: str) -> str:
    """Return a path with ~ and $VARIABLES replaced."""

    def value(match: re.Match[str]) -> str:
        variable = match.group(1) or match.group(2)
        if not os.environ.get(variable):
            raise ConfigError(
                f"{name}: '{text}' needs the environment variable {variable}, which is not set; "
                f"export {variable}=FOLDER"
            )
        return os.environ[variable]

    return os.path.expanduser(re.sub(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))", value, text))


def _locate(file: str, folder: Path, expand: bool) -> str:
    """The absolute path of a file named in a workflow file that lies in ``folder``; a file so named goes first."""
    if "\0" in file:
        raise ConfigError("structures.file holds a null character; give the path of a file")
    as_written = any((base / file).exists() for base in (folder, Path.cwd()))
    if expand and not as_written:
        file = _expanded(file, "structures.file")
    expanded = Path(file)
    candidates = [(base / expanded).resolve() for base in (folder, Path.cwd())]
    # An absolute path is left to the reader of the geometries: the config of a finished run stays readable
    # when its data have moved.
    for candidate in candidates:
        if expanded.is_absolute() or candidate.exists():
            return str(candidate)
    places = " or ".join(dict.fromkeys(str(candidate.parent) for candidate in candidates))
    raise ConfigError(
        f"structures.file: '{expanded}' was not found in {places}; give a path relative to the workflow file"
    )
