"""The kinds of runs: the classes of their requests and results, and the reading of requests.

Instruments register themselves here (`engine.instruments.base`), since folders of runs are read without them.
"""

from typing import Any, ClassVar

from pydantic import ValidationError, create_model

from engine.errors import RequestError
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
    try:
        return kinds.get(kind).Request.model_validate({"kind": kind} | fields)
    except ValidationError as error:
        raise RequestError(first_problem(error)) from error


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


def first_problem(error: ValidationError) -> str:
    """Return the first problem of a pydantic error in one line: "summary.n_edges: Field required"."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]
