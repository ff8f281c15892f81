"""Runs with made-up results: the fields that a test does not give are filled in from the result's class."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import annotated_types
import numpy as np
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.runs.kinds import kinds
from engine.runs.request import Request
from engine.runs.store import RunStore

ALWAYS = {"created": "2026-01-02T00:00:00+00:00", "ci95": [0.4, 0.6], "device": "cpu", "dtype": "float32"}


def write(
    store: RunStore,
    request: Request,
    tensors: Mapping[str, np.ndarray] | None = None,
    circuit: Mapping[str, Any] | None = None,
    /,
    **given: Any,
) -> str:
    """Write a run of a request with a made-up result and return its id.

    Args:
        given: fields of the result, as JSON.
    """
    result = made_up(kinds.get(request.kind).Result, **given)
    return store.write(request, {"schema": 1} | result, tensors, circuit)


def made_up(model: type[BaseModel], /, **given: Any) -> dict[str, Any]:
    """Return JSON that a pydantic model takes: its required fields by their types, but for those given."""
    fields = {name: _field(name, field) for name, field in model.model_fields.items() if field.is_required()}
    return fields | given


def _field(name: str, field: FieldInfo) -> Any:
    return ALWAYS[name] if name in ALWAYS else _value(field.annotation, field.metadata)


def _value(kind: Any, rules: list[Any]) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _value(parts[0], [*rules, *parts[1:]])
    if origin in (Union, UnionType):
        return None if NoneType in parts else _value(parts[0], rules)
    if origin is Literal:
        return parts[0]
    if origin is list:
        least = next((rule.min_length for rule in rules if isinstance(rule, annotated_types.MinLen)), 0)
        return [_value(parts[0], []) for _ in range(least)]
    if origin is tuple:
        return [_value(part, []) for part in parts]
    if origin is dict:
        least = any(isinstance(rule, annotated_types.MinLen) for rule in rules)
        return {_value(parts[0], []): _value(parts[1], [])} if least else {}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return made_up(kind)
    if kind is int:
        return max([1, *(cast("int", rule.ge) for rule in rules if isinstance(rule, annotated_types.Ge))])
    return {str: "text", float: 0.5, bool: False}[kind]
