"""Settings of methods and ablations: pydantic models from which command line and forms are made."""

import difflib
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from engine.errors import RequestError

SettingsT = TypeVar("SettingsT", bound=BaseModel)


class WithSettings(Generic[SettingsT]):
    """Base of classes with settings, which are their type argument: `class Acdc(Method[AcdcSettings])`.

    Attributes:
        Settings: the class of the settings, set from the type argument.
    """

    Settings: type[SettingsT]

    def __init_subclass__(cls) -> None:
        """Set `Settings` to the type argument of the base class."""
        super().__init_subclass__()
        for base in vars(cls).get("__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, BaseModel):
                    cls.Settings = cast("type[SettingsT]", argument)


def parse_settings(kind: type[SettingsT], given: dict[str, Any]) -> SettingsT:
    """Return validated settings from a dictionary; texts are converted to numbers where needed.

    Raises:
        RequestError: an unknown setting (with the nearest known one), or a value out of range.
    """
    for name in given:
        if name not in kind.model_fields:
            nearest = difflib.get_close_matches(name, kind.model_fields, n=1, cutoff=0.4)
            hint = f"did you mean '{nearest[0]}'? " if nearest else ""
            raise RequestError(
                f"unknown setting '{name}': {hint}known: {', '.join(kind.model_fields) or 'none'}"
            )
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise RequestError(f"setting {name}={first['input']!r}: {first['msg'].lower()}") from error


@dataclass(frozen=True)
class Later:
    """Marker of a field that was added after the first runs: `rate: Annotated[float, Later()] = Field(0.1)`.

    The id of a run depends on its settings. To keep the ids of old runs, such a field is left out while it
    has its default (`settings_to_json`). So its default must never change.
    """


def later_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of a model's own fields that are marked `Later`."""
    fields = model.model_fields.items()
    return frozenset(
        name for name, field in fields if any(isinstance(mark, Later) for mark in field.metadata)
    )


def settings_to_json(settings: BaseModel) -> dict[str, Any]:
    """Return settings as JSON values, without the fields marked `Later` that have their default.

    Fields of settings within settings are left out alike.
    """
    return settings.model_dump(mode="json", exclude=_at_default(settings))


def _at_default(settings: BaseModel) -> dict[str, Any]:
    """Return the fields that are left out, in the form of pydantic's `exclude`."""
    fields, later = type(settings).model_fields, later_fields(type(settings))
    left_out: dict[str, Any] = {}
    for name, value in settings:
        if name in later and value == fields[name].get_default(call_default_factory=True):
            left_out[name] = True
        elif isinstance(value, BaseModel) and (within := _at_default(value)):
            left_out[name] = within
    return left_out
