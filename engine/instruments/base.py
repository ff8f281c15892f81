"""The base class of instruments: a kind of request about a model, from the request to the result of its run.

An instrument is one folder in `engine/instruments/` whose module `instrument.py` registers a class derived
from `Instrument` under its kind:

    @instruments.register("trace")
    class TraceInstrument(Instrument[Trace, TraceResult]): ...

That module is imported with every listing of runs. So it imports torch, and modules that import torch, only
inside its methods.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar, cast

from engine.progress import Report
from engine.registry import Registry
from engine.runs.folder import AnyRun, Run
from engine.runs.kinds import Kind, kinds
from engine.runs.record import Record
from engine.runs.request import Request as AnyRequest
from engine.runs.store import RunStore

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame
    from engine.runs.found import Found
    from engine.workbench.ready import Workbench
    from engine.workbench.workload import Bench

Asked = TypeVar("Asked", bound=AnyRequest)
Answer = TypeVar("Answer", bound=Record)
Lane = Literal["long", "short"]
Outcome = AnyRun | str  # the run of a part, or why there is none


class CarryOut(Protocol):
    """A function that carries out a request for a command; see `engine.cli.carry_out`."""

    def __call__(self, request: AnyRequest, store: RunStore, workers: int | None = None) -> AnyRun:
        """Return the finished run of a request; if given, `workers` processes share its parts."""
        ...


class Instrument(Kind, Generic[Asked, Answer]):
    """Base class of instruments.

    Attributes:
        title: title of its runs in the dashboard.
        order: sort key of the instruments in listings, on the command line and in `make runs`.
        Request, Result: classes of its requests and results; the command line is made from the former.
        has_circuit: whether its runs have a graph of their own, with scores of every edge.
    """

    title: ClassVar[str]
    order: ClassVar[int]
    Request: ClassVar[type[Any]]
    Result: ClassVar[type[Any]]

    def lane(self, asked: Asked, store: RunStore) -> Lane:
        """Return the lane of a request in the queue: "short" for work of seconds that a user waits for."""
        return "long"

    @abstractmethod
    def complete(self, asked: Asked, store: RunStore) -> Asked:
        """Return the request with all fields that determine its run filled in: hashes, sizes, settings.

        No model is loaded, so a wrong request is refused at once.

        Raises:
            RequestError: an unknown model, task, method, ablation or run; settings out of range.
        """

    def before(self, asked: Asked, store: RunStore) -> AnyRequest | None:
        """Return a request that has to be carried out first, if any; later requests share its run.

        Raises:
            RequestError: the request cannot be carried out, as far as this is known without the model.
        """
        return None

    def parts(self, asked: Asked, store: RunStore) -> list[AnyRequest]:
        """Return the parts of a completed request, themselves not completed; [] if it has no parts."""
        return []

    def find(self, asked: Asked, bench: "Workbench", report: Report) -> "Found":
        """Return the findings of a completed request without parts.

        Raises:
            RequestError: the request cannot be carried out as written.
            Cancelled: `report` was told to stop.
        """
        raise NotImplementedError

    def gather(
        self, asked: Asked, parts: Sequence[AnyRequest], outcomes: Sequence[Outcome], store: RunStore
    ) -> "Found":
        """Return the findings of a completed request from its parts' outcomes, not all of them errors."""
        raise NotImplementedError

    @abstractmethod
    def line(self, asked: Asked) -> str:
        """Return one line that tells a request apart from others, for choosers and jobs."""

    @abstractmethod
    def size(self, run: Run[Asked, Answer]) -> str:
        """Return the size of a run in a few words, such as its number of edges or prompts."""

    @abstractmethod
    def frame(self, run: Run[Asked, Answer]) -> "DataFrame":
        """Return the numbers of a run as a table for notebooks."""

    def command(self) -> Callable[..., None] | None:
        """Return the function of its command, or None; see `engine.instruments.command`."""
        return None

    def benches(self) -> dict[str, "Bench"]:
        """Return its benches by name."""
        return {}

    def ship(self, store: RunStore, carry_out: Callable[[AnyRequest], str]) -> None:
        """Compute those runs shipped with the program that are not in `store` yet."""

    def tables(self, store: RunStore) -> dict[str, str]:
        """Return its tables of the README by name, in Markdown, made from the shipped runs."""
        return {}


instruments = cast("Registry[Instrument[Any, Any]]", kinds)


def instrument_of(request: AnyRequest) -> Instrument[Any, Any]:
    """Return the instrument that a request is for."""
    return instruments.get(request.kind)


def in_order() -> list[Instrument[Any, Any]]:
    """Return all instruments in their order."""
    return sorted(
        (instruments.get(name) for name in instruments.names()), key=lambda instrument: instrument.order
    )
