"""Configurations as text: resolved, as commented defaults, as JSON schema, and as differences."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from pydantic import BaseModel

from hamlearn.config.meaning import default_in_yaml, dump_yaml, meaning_of, summary_of
from hamlearn.config.problems import section_of, sections_of
from hamlearn.config.sections import FORMAT_VERSION, Config
from hamlearn.config.union import kind_names

PACKAGES = ("hamlearn", "pyscf", "torch", "numpy", "scipy", "ase", "sphericart-torch", "wigners")


def dump_config(config: Config, versions: Mapping[str, str] | None = None) -> str:
    """The configuration as YAML; with ``versions`` as the artifact a run folder keeps.

    Args:
        config: any configuration.
        versions: of the packages that made a run, see `installed_versions`.

    Returns:
        Text that `load_config` reads back to an equal configuration.
    """
    settings = config.model_dump(mode="json")
    if config.qm is not None:
        settings["qm"]["store"] = config.qm.store
    if versions is None:
        return dump_yaml(settings)
    return dump_yaml({"kind": "config", "format_version": FORMAT_VERSION, **settings, "versions": dict(versions)})


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
    """Every setting with its default, choices, bounds and meaning, as commented YAML; other kinds are commented out."""
    lines = ["# Every setting of a hamlearn workflow with its default; fill in those marked REQUIRED."]
    for name, field in Config.model_fields.items():
        sections = sections_of(field)
        lines += ["", f"# {field.description or summary_of(section_of(field))}", f"{name}:", *_settings(sections, "  ")]
    return "\n".join(lines) + "\n"


def _settings(sections: Sequence[type[BaseModel]], indent: str) -> list[str]:
    """Return the settings of a section, of the first of its kinds as they are and of the others commented out."""
    lines = []
    for other, section in enumerate(sections):
        own = []
        for name, field in section.model_fields.items():
            inner = sections_of(field)
            if inner and field.default is not None:
                own += [f"{indent}{name}:", *_settings(inner, indent + "  ")]
            else:
                own.append(f"{indent}{name}: {default_in_yaml(field)}".rstrip().ljust(32) + f"  # {meaning_of(field)}")
                own += [f"{indent}# {line}" for line in _settings(inner, "  ")]  # of a section that is left out
        if other:
            lines.append(f"{indent}# or kind {' | '.join(kind_names(section))}: {summary_of(section)}")
        lines += [f"{indent}# {line.removeprefix(indent)}" if other else line for line in own]
    return lines


def json_schema() -> dict[str, Any]:
    """JSON schema of a workflow file in the present layout, for editors that check YAML while it is typed.

    Learners that were registered before are in it; which settings go together is left to `load_config`.
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_with_summaries(Config.model_json_schema())}


def _with_summaries(schema: Any) -> Any:
    """Return a schema whose sections are described by their first lines; settings have descriptions of their own."""
    if isinstance(schema, list):
        return [_with_summaries(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {name: _with_summaries(part) for name, part in schema.items()}
    if "additionalProperties" in out and "description" in out:
        out["description"] = out["description"].partition("\n")[0]
    return out


def compare_configs(old: Config, new: Config) -> list[str]:
    """Settings that differ, each as ``model.features.max_l: 6 (folder) against 8 (now)``."""
    return _differences(old.model_dump(mode="json"), new.model_dump(mode="json"), "")


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> list[str]:
    lines = []
    other_kind = old.get("kind") != new.get("kind")  # which decides what else there is
    for name in ["kind"] if other_kind else dict.fromkeys([*old, *new]):
        here, there = old.get(name), new.get(name)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            lines += _differences(here, there, f"{prefix}{name}.")
        elif here != there:
            texts = ["null" if value is None else str(value) for value in (here, there)]
            lines.append(f"{prefix}{name}: {texts[0]} (folder) against {texts[1]} (now)")
    return lines
