"""The exceptions that users meet; each message says what is wrong and what would be right.

CircuitExplorerError          exit status 1, a failure
├── RequestError              exit status 2, a wrong request: unknown name, bad setting, broken file
├── OutOfMemoryError          exit status 1, with the estimate and what to lower
└── Cancelled                 exit status 130, the user stopped the job
"""

import difflib
from collections.abc import Iterable


class CircuitExplorerError(Exception):
    """Base of every error whose message is meant for the user: one clear line."""

    exit_status = 1


class RequestError(CircuitExplorerError):
    """The request cannot be carried out as written; the message says what would be right."""

    exit_status = 2


class OutOfMemoryError(CircuitExplorerError):
    """The work did not fit into memory; the message has the estimate and what to lower."""


class Cancelled(CircuitExplorerError):  # noqa: N818 - no error: the user wanted it
    """The user cancelled the job; raised by the `report` function a job was given."""

    exit_status = 130


def unknown_name(kind: str, name: str, known: Iterable[str]) -> RequestError:
    """Return the error for an unknown `name` of a `kind` ("task", "method"), with the nearest known one."""
    known = sorted(known)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean '{nearest[0]}'? " if nearest else ""
    return RequestError(f"unknown {kind} '{name}': {hint}known: {', '.join(known)}")
