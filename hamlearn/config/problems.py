"""What is wrong with settings, in the same words for a file and for Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from hamlearn.config.union import kind_names, kinds_of, relatives_of
from hamlearn.errors import SettingError, nearest


class Truth:
    """True or false where neither is accepted."""

    def __init__(self, value: bool) -> None:
        self.value = value

    def __repr__(self) -> str:
        return repr(self.value)


def setting_fields(sections: Sequence[type[BaseModel]], prefix: str = "") -> dict[str, FieldInfo]:
    """Every section and setting by its dotted name, in order: those of the first of some sections, then of the others.

    Where a section comes in kinds, the settings of all of them count.
    """
    fields: dict[str, FieldInfo] = {}
    for section in sections:
        for name, field in section.model_fields.items():
            fields.setdefault(prefix + name, field)
            for inner, meaning in setting_fields(sections_of(field), f"{prefix}{name}.").items():
                fields.setdefault(inner, meaning)
    return fields


def sections_of(field: FieldInfo) -> list[type[BaseModel]]:
    """Return the sections a setting may hold: one, all kinds with the default first, or none for a value."""
    found = dict.fromkeys(_sections(field.annotation))
    return sorted(found, key=lambda section: section is not type(field.default))


def section_of(field: FieldInfo) -> Any:
    """Return the section a setting holds; the base class where it comes in kinds."""
    return field.annotation if isinstance(field.annotation, type) else sections_of(field)[0]


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from kinds_of(annotation)
    for part in get_args(annotation):
        yield from _sections(part)


def setting_error(error: ValidationError, section: type[BaseModel], source: str = "") -> SettingError:
    """Return the error that lists every problem of a section, after where its settings come from."""
    problems = list(dict.fromkeys(_in_words(problem, section) for problem in error.errors()))
    if len(problems) == 1:
        return SettingError(f"{source}: {problems[0]}" if source else problems[0])
    return SettingError("\n  ".join([f"{source or section.__name__} has {len(problems)} problems:", *problems]))


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
    "dict_type": "expected names with values (name: value)",
    "literal_error": "expected one of {expected}",
    "greater_than": "must be larger than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "model_type": "expected a section of settings (name: value)",
    "model_attributes_type": "expected a section of settings (name: value)",
}


def _in_words(problem: Any, section: type[BaseModel]) -> str:
    """One pydantic error as ``path: what is wrong, what was given``."""
    sections = relatives_of(section)
    fields = setting_fields(sections)
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
    if isinstance(given, Truth):
        return f"{name}: true and false are not accepted here"
    if kind == "extra_forbidden":
        return f"{name}: unknown setting{_suggestion(name, fields, sections)}"
    if kind == "value_error":
        return f"{name}: {context['error']}" if name else str(context["error"])
    if kind == "kind":
        return f"{name}.{context['words']}".lstrip(".")
    field = fields.get(name)
    if kind == "missing" or (given is None and field is not None and field.is_required()):
        meaning = f": {field.description}" if field is not None and field.description else ""
        return f"{name} is required{meaning}"
    if isinstance(given, BaseModel) and field is not None and sections_of(field):
        wanted = " or ".join(section.__name__ for section in sections_of(field))
        return f"{name}: expected {wanted}, got {type(given).__name__}"
    return f"{name}: {words_of_value(problem)}"


def words_of_value(problem: Any) -> str:
    """Return what pydantic finds wrong with a single value."""
    kind, given = problem["type"], problem["input"]
    expected = _WORDS[kind].format(**problem.get("ctx", {})) if kind in _WORDS else problem["msg"]
    return f"{expected}, got {'nothing' if given is None else repr(given)}"


def _suggestion(name: str, fields: dict[str, FieldInfo], sections: Sequence[type[BaseModel]]) -> str:
    """What the unknown setting ``name`` was probably meant to be, or which kind of section it belongs to."""
    section, _, leaf = name.rpartition(".")
    here = sections_of(fields[section]) if section else sections
    owners = [kind for own in here if leaf in own.model_fields for kind in kind_names(own)]
    if owners:
        kind, of = (f"{section}.kind", f" of {section}") if section else ("kind", "")
        return f" of this kind{of}; remove it, or set {kind}: {' or '.join(owners)}"
    elsewhere = [known for known in fields if known.rpartition(".")[2] == leaf]
    if elsewhere:
        return f"; did you mean '{' or '.join(elsewhere)}'?"
    siblings = list(dict.fromkeys(setting for own in here for setting in own.model_fields))
    return nearest(leaf, siblings) or nearest(leaf, list(fields)) or f"; known here: {', '.join(siblings)}"
