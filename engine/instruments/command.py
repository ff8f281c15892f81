"""Commands, whose options are made from the fields of their requests, as are the dashboard's forms.

    @options_of("fields", Trace, "model task seed bos")
    def trace(carry_out: CarryOut, fields: Fields, json: Json = False) -> None: ...

The function of a command gets the options as a dictionary `fields`, ready for its request class. The command
line (`engine.cli`) supplies `carry_out`.
"""

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.errors import RequestError

Command = Callable[..., None]
Fields = dict[str, Any]
Value = TypeVar("Value")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
RunsDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of your runs; CIRCUIT_EXPLORER_RUNS, or your data folder, if not given.",
        show_default=False,
    ),
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting of the method, or ablation.KEY=VALUE one of the ablation; may be repeated.",
        show_default=False,
    ),
]


def options_of(
    parameter: str,
    request: type[BaseModel],
    names: str,
    renamed: Mapping[str, str] = MappingProxyType({}),
    otherwise: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[Command], Command]:
    """Return a decorator that adds options made from fields; lists are given separated by commas.

    Args:
        parameter: the function's parameter for the dictionary of these fields; its options come first.
        request: class of the request, or of a part of it.
        names: names of the fields, in the order of the options; their descriptions are the help.
        renamed: names of options, by field, where they differ.
        otherwise: description, by field, of the default that the function itself chooses; if the option is
            not given, the function gets None.
    """
    options = [(name, renamed.get(name, name)) for name in names.split()]

    def decorate(command: Command) -> Command:
        def run(**given: Any) -> None:
            fields = {
                name: _value(option, request.model_fields[name], given.pop(option), name in otherwise)
                for name, option in options
            }
            command(**{parameter: fields}, **given)

        made = [_option(option, request.model_fields[name], otherwise.get(name)) for name, option in options]
        return _signed(run, command, made, without=[parameter])

    return decorate


def supplied(command: Command, **values: Any) -> Command:
    """Return a command with fixed values for parameters that are no options."""

    def run(**given: Any) -> None:
        command(**values, **given)

    return _signed(run, command, [], without=values)


def split_settings(given: list[str], methods: bool = True) -> tuple[dict[str, str], dict[str, str]]:
    """Return the settings of the method and those of the ablation.

    Args:
        given: settings KEY=VALUE of the method and ablation.KEY=VALUE of the ablation.
        methods: whether there is a method; if not, all settings are the ablation's.

    Raises:
        RequestError: a setting has another form.
    """
    of_method: dict[str, str] = {}
    of_ablation: dict[str, str] = {}
    for setting in given:
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise RequestError(f"--set {setting}: KEY=VALUE is needed, e.g. --set steps=500")
        if key.startswith("ablation.") or not methods:
            of_ablation[key.removeprefix("ablation.")] = value
        else:
            of_method[key] = value
    return of_method, of_ablation


def _option(name: str, field: FieldInfo, otherwise: str | None) -> inspect.Parameter:
    """Return the option of a field as a function parameter, for typer."""
    kind, default = _kind(field.annotation), field.get_default(call_default_factory=True)
    about, required = field.description, field.is_required()
    if otherwise is not None:
        about, required, default = _about(field, otherwise), False, None
    elif get_origin(field.annotation) is list and not required:
        default = ",".join(map(str, default)) or None
    if default is None:
        kind = Union[kind, None]  # noqa: UP007 - the type is not known before
    declared = [f"--{name}"] if kind is bool else []  # a flag; one that may be None has a --no- beside it
    option = typer.Option(*declared, help=about, show_default=default is not None)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else default,
        annotation=Annotated[kind, option],
    )


def _about(field: FieldInfo, otherwise: str) -> str:
    """Return the description of a field with another default."""
    return re.sub(r"(; [^;]* if not given)?\.$", f"; {otherwise} if not given.", field.description or "")


def _value(option: str, field: FieldInfo, given: Any, may_lack: bool) -> Any:
    """Return the value of an option for its field: the given value, or the items of a list."""
    if get_origin(field.annotation) is not list:
        return given
    if given is None:
        return None if may_lack else field.get_default(call_default_factory=True)
    items = [item.strip() for item in given.split(",") if item.strip()]
    (kind,) = map(_kind, get_args(field.annotation))
    if kind is int:
        try:
            return [int(item) for item in items]
        except ValueError as error:
            raise RequestError(
                f"--{option} '{given}': whole numbers separated by commas are needed"
            ) from error
    if not items:
        raise RequestError(f"--{option} '{given}': names separated by commas are needed")
    return items


def _kind(annotation: Any) -> Any:
    """Return the type of an option; choices and lists are read as text and checked by the request."""
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) in (Literal, list):
        return str
    parts = get_args(annotation)
    if NoneType in parts:
        (known,) = {_kind(part) for part in parts if part is not NoneType}
        return Union[known, None]  # noqa: UP007 - the type is not known before
    return annotation


def _signed(
    run: Command, command: Command, first: list[inspect.Parameter], without: Collection[str]
) -> Command:
    """Give `run` the name, docstring and signature of a command with other parameters, for typer."""
    signature = inspect.signature(command)
    rest = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in signature.parameters.values()
        if parameter.name not in without
    ]
    parameters = [*first, *rest]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__dict__["__signature__"] = signature.replace(parameters=parameters)
    return run
