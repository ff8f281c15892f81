"""The kinds of runs: the classes of their requests and results, and the reading of requests.

Instruments register themselves here (`engine.instruments.base`), since folders of runs are read without them.
"""

from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ValidationError, create_model

from engine.errors import RequestError, unknown_name
from engine.registry import Registry
from engine.runs.request import SCHEMA_1, Request


class Kind:
    """Base class of kinds of runs, with the properties needed to read a run.

    Attributes:
        kind: name of the kind in requests.
        Request, Result: classes of requests and results.
        has_circuit: whether its runs have a graph of their own: scores and a circuit.json.
    """

    kind: ClassVar[str]
    Request: ClassVar[type[Any]]
    Result: ClassVar[type[Any]]
    has_circuit: ClassVar[bool] = False


kinds: Registry[Kind] = Registry("kind of run", "engine.instruments", "instrument")


def make_request(kind: str, **fields: Any) -> Any:
    """Return the request of a kind with these fields.

    Raises:
        RequestError: there is no such kind, or a field is unknown, out of range or in conflict with another.
    """
    request_class: type[Request] = kinds.get(kind).Request
    try:
        return request_class.model_validate({"kind": kind} | fields)
    except ValidationError as error:
        raise RequestError(first_problem(error, request_class)) from error


def request_from_json(content: dict[str, Any]) -> Request:
    """Return the request in a request.json of schema 1.

    Schema 1 has fields of all kinds. Fields that this kind lacks are dropped if they have their neutral
    value; otherwise they are kept as foreign fields, since they count for the run's id.

    Raises:
        RequestError: there is no such kind of run.
        ValidationError: a field is missing, unknown or out of range.
    """
    request_class: type[Request] = kinds.get(str(content.get("kind"))).Request
    values = {name: value for name, value in content.items() if name in request_class.model_fields}
    silent = SCHEMA_1 | request_class.fixed
    fields = {
        name: field for kind in kinds.names() for name, field in kinds.get(kind).Request.model_fields.items()
    }
    foreign: dict[str, Any] = {}
    for name in content.keys() - values.keys():
        says_something = content[name] != silent[name] if name in silent else bool(content[name])
        if name not in fields and (says_something or name not in silent):
            values[name] = content[name]  # to be refused by its name
        elif says_something:
            foreign[name] = content[name]
    request = request_class.model_validate(values)
    if foreign:  # of most runs nothing is, and making a class for it takes longer than reading the run
        # What other kinds would refuse is refused here too: runs of all kinds are found by these values.
        shapes: dict[str, Any] = {name: (fields[name].annotation, fields[name]) for name in foreign}
        create_model("Foreign", **shapes).model_validate(foreign)
        request.keep_foreign(foreign)
    return request


def first_problem(error: ValidationError, asked: type[BaseModel] | None = None) -> str:
    """Return the first problem of a pydantic error in one line: "summary.n_edges: Field required".

    Args:
        error: the error.
        asked: class of the request that a user made; the line then says which fields there are, and what was
            given.
    """
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    said = problem["msg"].removeprefix("Value error, ")
    if asked is None or problem["type"] == "missing":
        return f"{place}: {said}" if place else said
    if problem["type"] == "extra_forbidden":
        *within, name = (str(part) for part in problem["loc"])
        for part in within:
            asked = next((c for c in _classes(asked, part) if name not in c.model_fields), asked)
        known = [field for field in asked.model_fields if field != "kind"]
        return str(unknown_name("field", place, known))
    if problem["type"] == "value_error":
        return f"{place}: {said}" if place else said
    given = repr(problem["input"])
    return f"{place}={given[:80]}: {said[0].lower()}{said[1:]}"


def _classes(asked: type[BaseModel], name: str) -> list[type[BaseModel]]:
    """Return the classes of settings that a field can have."""
    field = asked.model_fields.get(name)
    candidates = [] if field is None else [field.annotation, *get_args(field.annotation)]
    return [item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)]
