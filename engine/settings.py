"""Settings of methods and ablations: pydantic models that the command line and the form are made from."""

import difflib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from engine.errors import RequestError

Settings = TypeVar("Settings", bound=BaseModel)


def parse_settings(kind: type[Settings], given: dict[str, Any]) -> Settings:
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
