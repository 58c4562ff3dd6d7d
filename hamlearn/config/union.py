"""Settings that come in kinds, each a class, told apart by their field ``kind``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

from hamlearn.errors import ConfigError, nearest


class KindOf:
    """Mixin of a base class whose subclasses have a literal field ``kind``.

    The base class makes the settings of the kind that is named, of DEFAULT_KIND if none is, whether it is called, reads
    a mapping, or is the type of a setting. Kinds may be added at any time.
    """

    DEFAULT_KIND: ClassVar[str]
    HINT: ClassVar[str] = ""
    """Ends the message that a kind is not known."""

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Return new settings of a kind."""
        section = cls.of_kind(settings.get("kind", cls.DEFAULT_KIND)) if is_family(cls) else cls
        return super().__new__(section)

    @classmethod
    def kinds(cls, wanted: str | None = None) -> dict[str, type[Self]]:
        """Return the class of every kind, by name; ``wanted`` is the one that is looked for."""
        found: dict[str, type[Self]] = {}
        for child in cls.__subclasses__():
            found |= child.kinds() if is_family(child) else dict.fromkeys(kind_names(child), child)
        return found

    @classmethod
    def of_kind(cls, kind: object) -> type[Self]:
        """Return the class of a kind.

        Raises:
            ConfigError: if there is none of this name.
        """
        kinds = cls.kinds(str(kind))
        if isinstance(kind, str) and kind in kinds:
            return kinds[kind]
        names = [repr(name) for name in sorted(kinds, key=lambda name: name != cls.DEFAULT_KIND)]
        expected = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        given = "nothing" if kind is None else f"{kind!r}{nearest(str(kind), tuple(kinds))}"
        raise ConfigError(f"kind: expected one of {expected}, got {given}{cls.HINT}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Let the base class validate by kind, found anew each time."""
        return core_schema.no_info_plain_validator_function(cls._of_mapping) if is_family(cls) else handler(source)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        """Describe the base class as any of its kinds; which kind an absent name means depends on other sections."""
        if not is_family(cls):
            return handler(schema)
        return {"anyOf": [handler(kind.__pydantic_core_schema__) for kind in kinds_of(cls)]}

    @classmethod
    def _of_mapping(cls, settings: Any) -> Any:
        if isinstance(settings, cls):
            return settings
        if not isinstance(settings, Mapping):
            raise PydanticKnownError("model_type", {"class_name": cls.__name__})
        try:
            section: Any = cls.of_kind(settings.get("kind", cls.DEFAULT_KIND))
        except ConfigError as error:
            raise PydanticCustomError("kind", "{words}", {"words": str(error)}) from None
        return section.__pydantic_validator__.validate_python(settings)


def kind_names(section: Any) -> tuple[str, ...]:
    """Return the kinds that a class of settings stands for; empty for one without a literal field ``kind``."""
    field = getattr(section, "model_fields", {}).get("kind")
    return get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()


def is_family(section: type) -> bool:
    """Return whether settings of this class come in kinds, each a class of its own."""
    return issubclass(section, KindOf) and not kind_names(section)


def kinds_of(section: type) -> list[Any]:
    """Return the classes that settings of a class may have: itself, or those of its kinds."""
    return list(dict.fromkeys(section.kinds().values())) if is_family(section) else [section]  # type: ignore[attr-defined]


def relatives_of(section: type) -> list[Any]:
    """Return a class and those of the other kinds of the same section."""
    families = [base for base in section.__mro__ if is_family(base) and base is not KindOf]
    return list(dict.fromkeys([section, *(kind for family in families for kind in kinds_of(family))]))
