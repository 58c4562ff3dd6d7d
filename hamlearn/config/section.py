"""What every section of a workflow file has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator, model_serializer, model_validator


class Section(BaseModel):
    """A section of the workflow file: frozen, no unknown keys, no NaN.

    Settings that mean nothing beside the others of their section, see `idle`, must keep their defaults and are not
    written.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    def idle(self) -> dict[str, str]:
        """Return the settings without meaning beside the others, each with the reason."""
        return {}

    @model_validator(mode="after")
    def _refuse_idle(self) -> Section:
        for name, reason in self.idle().items():
            if getattr(self, name) != type(self).model_fields[name].get_default():
                raise ValueError(f"{name} was given, but {reason}; remove it")
        return self

    @model_serializer(mode="wrap")
    def _without_idle(self, serialise: Callable[[Section], dict[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in serialise(self).items() if name not in self.idle()}

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("true and false are not accepted here")
        return value
