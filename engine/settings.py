"""Settings of methods and ablations: pydantic models that the command line and the form are made from."""

import difflib
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError

from engine.errors import RequestError

SettingsT = TypeVar("SettingsT", bound=BaseModel)


class WithSettings(Generic[SettingsT]):
    """Base of the classes whose work has settings: `class Acdc(Method[AcdcSettings])`.

    Attributes:
        Settings: the type between the brackets; the form and the command line are made from it.
    """

    Settings: type[SettingsT]

    def __init_subclass__(cls) -> None:
        """Read the type of the settings off the brackets."""
        super().__init_subclass__()
        for base in vars(cls).get("__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, BaseModel):
                    cls.Settings = cast("type[SettingsT]", argument)


def parse_settings(kind: type[SettingsT], given: dict[str, Any]) -> SettingsT:
    """Return settings of a kind from a dictionary; texts are taken for numbers where numbers are due.

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
    """Marks a field that came later than the first runs: `rate: Annotated[float, Later()] = Field(0.1)`.

    Runs are named after their settings. So that the name of an old run stays what it was, such a field counts
    for nothing while it has its default (`settings_to_json`); a default must not change.
    """


def later_fields(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of a model's own fields that are marked `Later`."""
    fields = model.model_fields.items()
    return frozenset(
        name for name, field in fields if any(isinstance(mark, Later) for mark in field.metadata)
    )


def settings_to_json(settings: BaseModel) -> dict[str, Any]:
    """Return settings as JSON values, without the fields marked `Later` that have their default."""
    fields = type(settings).model_fields
    at_default = {
        name
        for name in later_fields(type(settings))
        if getattr(settings, name) == fields[name].get_default(call_default_factory=True)
    }
    return settings.model_dump(mode="json", exclude=at_default)
