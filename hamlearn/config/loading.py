"""From a workflow file to a validated Config, or to one message that lists everything wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from hamlearn.artifacts import check_format
from hamlearn.config.describe import setting_fields
from hamlearn.config.section import Section
from hamlearn.config.sections import FORMAT_VERSION, Config
from hamlearn.errors import ConfigError, nearest

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
    path = Path(path)
    settings = _read_mapping(path)
    if "kind" in settings:
        check_format(settings, "config", FORMAT_VERSION, str(path))
    for provenance in ("kind", "format_version", "versions"):
        settings.pop(provenance, None)
    for override in overrides:
        _override(settings, override)
    source = f"{path} with --set {' --set '.join(overrides)}" if overrides else str(path)
    config = build_config(settings, source)
    structures = _locate(config.structures.file, path.parent)
    return config.model_copy(update={"structures": config.structures.model_copy(update={"file": structures})})


def build_config(settings: Mapping[str, Any], source: str = "the configuration") -> Config:
    """Validate a nested mapping of settings.

    Args:
        settings: section -> name -> value.
        source: where the settings come from, for the message.

    Raises:
        ConfigError: listing every problem in words.
    """
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        problems = [_in_words(problem) for problem in error.errors()]
    if len(problems) == 1:
        raise ConfigError(f"{source}: {problems[0]}")
    raise ConfigError("\n  ".join([f"{source} has {len(problems)} problems:", *problems]))


def changed_section(section: SectionType, changes: Mapping[str, Any], source: str) -> SectionType:
    """Return a section with some settings replaced, validated.

    Raises:
        ConfigError: if a value is not acceptable.
    """
    try:
        return type(section).model_validate(section.model_dump() | dict(changes))
    except ValidationError as error:
        raise ConfigError(f"{source}: " + "; ".join(_in_words(problem) for problem in error.errors())) from None


class _Loader(yaml.SafeLoader):
    """YAML as people write it: 1e-8 is a number, and a name given twice in one section is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if names.count(name) > 1:
                raise yaml.MarkedYAMLError(problem=f"'{name}' is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _read_yaml(text: str, source: str) -> Any:
    try:
        return _Loader(text).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: such as a 13th month
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        raise ConfigError(
            f"{source} is not valid YAML{where}: {what}; check that the file is complete and that brackets, "
            "colons and indentation match"
        ) from None


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"workflow file {path} does not exist; give the path of a YAML file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file; a workflow is a YAML file in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"workflow file {path} cannot be read: {error.strerror}") from None
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
    name, equals, value = override.partition("=")
    *sections, leaf = name.strip().split(".")
    if not equals or not leaf or not all(sections):
        raise ConfigError(f"--set got '{override}', expected section.name=value, e.g. --set features.max_l=4")
    for section in sections:
        if settings.get(section) is None:
            settings[section] = {}
        settings = settings[section]
        if not isinstance(settings, dict):
            raise ConfigError(f"--set {override}: '{section}' is a value, not a section of settings")
    settings[leaf] = _read_yaml(value, f"--set {override}")


def _locate(file: str, folder: Path) -> str:
    """The absolute path of a file named in a workflow file that lies in ``folder``."""

    def value(match: re.Match[str]) -> str:
        variable = match.group(1) or match.group(2)
        if not os.environ.get(variable):
            raise ConfigError(
                f"structures.file: '{file}' needs the environment variable {variable}, which is not set; "
                f"export {variable}=FOLDER"
            )
        return os.environ[variable]

    if "\0" in file:
        raise ConfigError("structures.file holds a null character; give the path of a file")
    expanded = Path(os.path.expanduser(re.sub(r"\$(?:\{(\w+)\}|(\w+))", value, file)))
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


_WORDS = {
    "missing": "is required",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "string_type": "expected text",
    "string_too_short": "must not be empty",
    "tuple_type": "expected a list such as [50, 100]",
    "literal_error": "expected one of {expected}",
    "greater_than": "must be larger than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "model_type": "expected a section of settings (name: value)",
}


def _in_words(problem: Any) -> str:
    """One pydantic error as ``path: what is wrong, what was given``."""
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{name}: unknown setting{_suggestion(name)}"
    if kind == "value_error":
        return f"{name}: {context['error']}" if name else str(context["error"])
    field = setting_fields().get(name)
    if kind == "missing" or (given is None and field is not None and field.is_required()):
        meaning = f": {field.description}" if field is not None and field.description else ""
        return f"{name} is required{meaning}"
    expected = _WORDS[kind].format(**context) if kind in _WORDS else problem["msg"]
    return f"{name}: {expected}, got {'nothing' if given is None else repr(given)}"


def _suggestion(name: str) -> str:
    """What the unknown setting ``name`` was probably meant to be."""
    fields = setting_fields()
    section, _, leaf = name.rpartition(".")
    elsewhere = [known for known in fields if known.rpartition(".")[2] == leaf]
    if elsewhere:
        return f"; did you mean '{' or '.join(elsewhere)}'?"
    siblings = [known.rpartition(".")[2] for known in fields if known.rpartition(".")[0] == section]
    return nearest(leaf, siblings) or f"; known here: {', '.join(siblings)}"
