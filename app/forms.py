"""Widgets for the fields of a pydantic model of settings.

A field's title is the widget's label, its description the help, its bounds the widget's bounds.
"""

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

import annotated_types
import streamlit as st
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo


def fields_form(
    settings: type[BaseModel], key: str, names: Sequence[str] | None = None, columns: int = 1
) -> dict[str, Any]:
    """Draw widgets for fields of `settings` and return the values that differ from the defaults.

    Args:
        settings: the pydantic model.
        key: prefix of the widgets' keys.
        names: which fields; None draws all.
        columns: number of widgets side by side.
    """
    fields = settings.model_fields
    chosen = list(fields) if names is None else list(names)
    values = {}
    for start in range(0, len(chosen), columns):
        for name, place in zip(chosen[start : start + columns], st.columns(columns), strict=False):
            with place:
                values[name] = _widget(name, fields[name], key)
    return {
        name: value
        for name, value in values.items()
        if value != fields[name].get_default(call_default_factory=True)
    }


def problems(error: ValidationError, settings: type[BaseModel]) -> list[str]:
    """Return one line for each value that `settings` rejects."""
    lines = []
    for detail in error.errors():
        name = str(detail["loc"][0]) if detail["loc"] else ""
        field = settings.model_fields.get(name)
        lines.append(
            f"{_label(name, field) if field else name}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
        )
    return lines


def _widget(name: str, field: FieldInfo, prefix: str) -> Any:
    """Draw one field; the widget follows from its type."""
    kind, optional = _kind(field.annotation)
    default = field.get_default(call_default_factory=True)
    common = {"label": _label(name, field), "help": field.description, "key": f"{prefix}-{name}"}
    if kind is bool:
        return st.toggle(value=bool(default), **common)
    if get_origin(kind) is Literal:
        options = [*([None] if optional else []), *get_args(kind)]
        return st.selectbox(options=options, index=options.index(default), format_func=_option, **common)
    if kind in (int, float):
        low, high = _bounds(field, kind)
        step = 1 if kind is int else None
        return st.number_input(
            value=default,
            min_value=low,
            max_value=high,
            step=step,
            format="%d" if kind is int else "%g",
            placeholder="automatic" if optional else None,
            **common,
        )
    text = st.text_input(value="" if default is None else str(default), **common)
    return text.strip() or (None if optional else "")


def _kind(annotation: Any) -> tuple[Any, bool]:
    """Return the type without None, and whether None was allowed."""
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        return (kinds[0] if len(kinds) == 1 else str), len(kinds) < len(get_args(annotation))
    return annotation, False


def _bounds(field: FieldInfo, kind: type) -> tuple[Any, Any]:
    """Return the lowest and highest value of a number input; the model itself checks open bounds."""
    low: Any = None
    high: Any = None
    for rule in field.metadata:
        if isinstance(rule, annotated_types.Ge | annotated_types.Interval) and rule.ge is not None:
            low = rule.ge
        if isinstance(rule, annotated_types.Le | annotated_types.Interval) and rule.le is not None:
            high = rule.le
        if isinstance(rule, annotated_types.Gt) and kind is int:
            low = int(cast(float, rule.gt)) + 1
    return (None if low is None else kind(low)), (None if high is None else kind(high))


def _label(name: str, field: FieldInfo) -> str:
    return field.title or name.replace("_", " ").capitalize()


def _option(value: object) -> str:
    return "automatic" if value is None else str(value)
