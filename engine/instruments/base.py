"""What an instrument is: one thing that can be asked of a model, from its request to the result of its run.

An instrument is one folder in `engine/instruments/` whose module `instrument.py` registers a class derived
from `Instrument` under its kind:

    @instruments.register("trace")
    class TraceInstrument(Instrument[Trace, TraceResult]): ...

That module is imported with every listing of runs, so it imports torch, and what imports torch, only inside
its methods.
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
    """What carries out a request for a command, with progress on standard error; `engine.cli.carry_out`."""

    def __call__(self, request: AnyRequest, store: RunStore, workers: int | None = None) -> AnyRun:
        """Return the finished run of a request; with workers it goes through the queue, on so many."""
        ...


class Instrument(Kind, Generic[Asked, Answer]):
    """One instrument.

    Attributes:
        title: what the dashboard calls its runs.
        order: where it stands among all instruments, in listings, the command line and `make runs`.
        Request, Result: its classes, from which its files are read and the command line is made.
        has_circuit: whether its runs have a graph of their own, with scores of every edge.
    """

    title: ClassVar[str]
    order: ClassVar[int]
    Request: ClassVar[type[Any]]
    Result: ClassVar[type[Any]]

    def lane(self, asked: Asked, store: RunStore) -> Lane:
        """Return which workers carry a request out: "short" ones what somebody waits for, in seconds."""
        return "long"

    @abstractmethod
    def complete(self, asked: Asked, store: RunStore) -> Asked:
        """Return the request with everything filled in that decides its run: hashes, sizes, plain settings.

        Nothing is loaded, so a wrong request is refused at once.

        Raises:
            RequestError: an unknown model, task, method, ablation or run; settings out of range.
        """

    def before(self, asked: Asked, store: RunStore) -> AnyRequest | None:
        """Return what has to be carried out first, if anything; its run then stays for the next request.

        Raises:
            RequestError: the request cannot be carried out, as far as that is seen without the model.
        """
        return None

    def parts(self, asked: Asked, store: RunStore) -> list[AnyRequest]:
        """Return the requests, not completed, by way of which a completed one is carried out."""
        return []

    def find(self, asked: Asked, bench: "Workbench", report: Report) -> "Found":
        """Return what a completed request finds, if it has no parts.

        Raises:
            RequestError: the request cannot be carried out as written.
            Cancelled: `report` was told to stop.
        """
        raise NotImplementedError

    def gather(
        self, asked: Asked, parts: Sequence[AnyRequest], outcomes: Sequence[Outcome], store: RunStore
    ) -> "Found":
        """Return what the parts of a completed request come to; one of them at least has a run."""
        raise NotImplementedError

    @abstractmethod
    def line(self, asked: Asked) -> str:
        """Return one line that tells a request apart from others, for choosers and jobs."""

    @abstractmethod
    def size(self, run: Run[Asked, Answer]) -> str:
        """Return how much a run is about, in a few words."""

    @abstractmethod
    def frame(self, run: Run[Asked, Answer]) -> "DataFrame":
        """Return the numbers of a run as a table, as notebooks want them."""

    def command(self) -> Callable[..., None] | None:
        """Return the function that is its command; see `engine.instruments.command`."""
        return None

    def benches(self) -> dict[str, "Bench"]:
        """Return its benches by name."""
        return {}

    def ship(self, store: RunStore, carry_out: Callable[[AnyRequest], str]) -> None:
        """Compute the runs that are shipped with the program, those that are not in `store` yet."""

    def tables(self, store: RunStore) -> dict[str, str]:
        """Return its tables in the README in Markdown, by name, made from the shipped runs."""
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
