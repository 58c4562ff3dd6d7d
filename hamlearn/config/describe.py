"""Configurations as text: resolved, as commented defaults, as JSON schema, and as differences."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any, get_args

import yaml
from pydantic.fields import FieldInfo

from hamlearn.config.section import Section
from hamlearn.config.sections import FORMAT_VERSION, Config

PACKAGES = ("hamlearn", "pyscf", "torch", "numpy", "scipy", "ase", "sphericart-torch", "wigners")


@cache
def setting_fields(section: type[Section] = Config, prefix: str = "") -> dict[str, FieldInfo]:
    """Every section and setting of a workflow by its dotted name, in order."""
    fields = {}
    for name, field in section.model_fields.items():
        fields[prefix + name] = field
        if inner := _section_of(field):
            fields |= setting_fields(inner, f"{prefix}{name}.")
    return fields


def _section_of(field: FieldInfo) -> type[Section] | None:
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)


class _Dumper(yaml.SafeDumper):
    """Block style with lists in one line."""


_Dumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)


def _dump(settings: Mapping[str, Any]) -> str:
    return yaml.dump(settings, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def dump_config(config: Config, versions: Mapping[str, str] | None = None) -> str:
    """The configuration as YAML; with ``versions`` as the artifact a run folder keeps.

    Args:
        config: any configuration.
        versions: of the packages that made a run, see `installed_versions`.

    Returns:
        Text that `load_config` reads back to an equal configuration.
    """
    settings = config.model_dump(mode="json")
    if versions is None:
        return _dump(settings)
    return _dump({"kind": "config", "format_version": FORMAT_VERSION, **settings, "versions": dict(versions)})


def installed_versions() -> dict[str, str]:
    """Versions of hamlearn, Python and the packages results depend on, without importing them."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {"hamlearn": versions.pop("hamlearn"), "python": platform.python_version(), **versions}


def defaults_text() -> str:
    """Every setting with its default, choices, bounds and meaning, as commented YAML."""
    lines = ["# Every setting of a hamlearn workflow with its default; fill in those marked REQUIRED."]
    for name, field in setting_fields().items():
        section, _, leaf = name.rpartition(".")
        inner = _section_of(field)
        if not section:
            lines += ["", f"# {inner.__doc__}" if inner else "", f"{leaf}:"]
        elif "." not in section:
            lines.append(f"  {leaf}: {_value(field)}".rstrip().ljust(32) + f"  # {_meaning(field)}")
    return "\n".join(lines) + "\n"


def _value(field: FieldInfo) -> str:
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    return "" if field.is_required() else _dump({"v": default})[3:].strip()


def _meaning(field: FieldInfo) -> str:
    """Choices, bounds and description of a setting in one line."""
    choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, (str, int))]
    words = {"ge": "at least", "gt": "larger than", "le": "at most"}
    bounds = [
        f"{words[sign]} {getattr(bound, sign)}" for bound in field.metadata for sign in words if hasattr(bound, sign)
    ]
    if inner := _section_of(field):
        limits = "{" + ", ".join(f"{name}: {_value(f)}" for name, f in inner.model_fields.items()) + "}"
    else:
        limits = " | ".join(choices) if len(choices) > 1 else ", ".join(bounds)
    required = "REQUIRED: " if field.is_required() else ""
    return f"{required}{field.description}" + (f" ({limits})" if limits else "")


def json_schema() -> dict[str, Any]:
    """JSON schema of a workflow file, for editors that check YAML while it is typed."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}


def compare_configs(old: Config, new: Config) -> list[str]:
    """Settings that differ, each as ``features.max_l: 6 (folder) against 8 (now)``."""
    return _differences(old.model_dump(mode="json"), new.model_dump(mode="json"), "")


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> list[str]:
    lines = []
    for name in dict.fromkeys([*old, *new]):
        here, there = old.get(name), new.get(name)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            lines += _differences(here, there, f"{prefix}{name}.")
        elif here != there:
            texts = ["null" if value is None else str(value) for value in (here, there)]
            lines.append(f"{prefix}{name}: {texts[0]} (folder) against {texts[1]} (now)")
    return lines
