"""What every section of a workflow file has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    model_validator,
)

from hamlearn.config.meaning import default_in_yaml, meaning_of
from hamlearn.config.problems import Truth, setting_error
from hamlearn.display import Shown, Words
from hamlearn.errors import SettingError


class Section(Shown, BaseModel):
    """A section of the workflow file: frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise setting_error(error, type(self)) from None

    # as BaseModel marks its own: pydantic does not call it for sections inside a section, whose problems are listed
    # together with all others
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def model_validate(cls, obj: Any, *, source: str = "", **options: Any) -> Self:
        """Return the section of a mapping of settings.

        Args:
            obj: name -> value.
            source: where the settings come from, for the message.
            options: of pydantic.

        Raises:
            SettingError: listing every problem in words.
        """
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise setting_error(error, cls, source) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Let the docstring say what every setting means."""
        super().__pydantic_init_subclass__(**options)
        lines = []
        for name, field in cls.model_fields.items():
            default = default_in_yaml(field)
            lines.append(f"    {name}{f' = {default}' if default else ''}: {meaning_of(field)}")
        cls.__doc__ = "\n".join([f"{cls.__doc__ or cls.__name__}\n", "Args:", *lines])

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise SettingError(f"{type(self).__name__}.{name} cannot be set: settings are frozen; make new ones")

    __str__ = Shown.__repr__

    def shown(self) -> dict[str, object]:
        """Return what differs from the defaults."""
        changed = {name: value for name, value in self if value != type(self).model_fields[name].get_default()}
        return {name: Words(repr(x)) if isinstance(x, float) else x for name, x in changed.items()}  # every digit

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, settings: Any) -> Any:
        """Keep pydantic from taking true for 1; a validator of the fields would forbid unions chosen by kind."""
        if not isinstance(settings, Mapping):
            return settings
        others = {name for name, x in cls.model_fields.items() if bool not in (x.annotation, *get_args(x.annotation))}
        return {name: Truth(x) if isinstance(x, bool) and name in others else x for name, x in settings.items()}
