"""What a setting means, in one line: description, choices or bounds, default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hamlearn.config.problems import section_of, sections_of

_BOUNDS = {"ge": "at least", "gt": "larger than", "le": "at most"}


class _Dumper(yaml.SafeDumper):
    """Block style with lists in one line."""


_Dumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)


def dump_yaml(settings: Mapping[str, Any]) -> str:
    """Return settings as YAML."""
    return yaml.dump(settings, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def default_in_yaml(field: FieldInfo) -> str:
    """Return the default of a setting as it stands in YAML; nothing if it is required, or a section."""
    if field.is_required() or isinstance(field.get_default(), BaseModel):
        return ""
    default = field.get_default()
    return dump_yaml({"v": list(default) if isinstance(default, tuple) else default})[3:].strip()


def meaning_of(field: FieldInfo) -> str:
    """Return description, choices and bounds of a setting in one line."""
    inner = sections_of(field)
    choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, (str, int))]
    signs = [(bound, sign) for bound in field.metadata for sign in _BOUNDS if hasattr(bound, sign)]
    bounds = [f"{_BOUNDS[sign]} {getattr(bound, sign)}" for bound, sign in signs]
    if inner and field.default is None:
        limits = "null: none; else a section"
    else:
        choices = choices or [section.__name__ for section in inner]
        limits = " | ".join(choices) if len(choices) > 1 else ", ".join(bounds)
    meaning = field.description or (summary_of(section_of(field)) if inner else "")
    required = "REQUIRED: " if field.is_required() and not inner else ""
    return f"{required}{meaning}" + (f" ({limits})" if limits else "")


def summary_of(section: type[BaseModel]) -> str:
    """Return the first line of what a section says of itself."""
    return (section.__doc__ or "").partition("\n")[0]
