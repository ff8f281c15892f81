"""Causal tracing; see `engine.instruments.base`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.errors import RequestError
from engine.instruments.base import Instrument, Lane, instruments
from engine.instruments.completion import completed_task
from engine.instruments.trace.request import Trace
from engine.instruments.trace.result import TraceResult
from engine.instruments.words import model_name, title_of
from engine.progress import Report
from engine.runs.folder import Run
from engine.runs.request import Request as AnyRequest
from engine.runs.store import RunStore
from engine.settings import parse_settings, settings_to_json

if TYPE_CHECKING:
    from engine.instruments.frames import DataFrame
    from engine.runs.found import Found
    from engine.workbench.ready import Workbench
    from engine.workbench.workload import Bench


@instruments.register("trace")
class TraceInstrument(Instrument[Trace, TraceResult]):
    """Restores states of corrupted prompts."""

    kind = "trace"
    title = "Trace"
    order = 80
    Request = Trace
    Result = TraceResult

    def lane(self, asked: Trace, store: RunStore) -> Lane:
        """Return "short" for the trace of a prompt; that of a task takes minutes."""
        return "long" if asked.trace.prompt is None else "short"

    def complete(self, asked: Trace, store: RunStore) -> Trace:
        """Fill in hashes and the settings of the corruption; see the base class."""
        from engine.models import find_model, shape_of_folder
        from engine.tracing.base import corruptions

        layers = shape_of_folder(find_model(asked.model)).n_layers
        if asked.trace.window > layers:
            raise RequestError(f"a window of {asked.trace.window} layers; '{asked.model}' has {layers}")
        asked = completed_task(asked)
        settings = parse_settings(corruptions.get(asked.ablation).Settings, asked.ablation_settings)
        return asked.model_copy(update={"ablation_settings": settings_to_json(settings)})

    def before(self, asked: Trace, store: RunStore) -> AnyRequest | None:
        """Return the trace of the task, if a prompt uses a corruption trained on the task."""
        from engine.instruments.trace.find import before_trace

        return before_trace(asked)

    def find(self, asked: Trace, bench: "Workbench", report: Report) -> "Found":
        """Trace the prompt or the task."""
        from engine.instruments.trace.find import trace

        return trace(asked, bench, report)

    def line(self, asked: Trace) -> str:
        """Return the prompt or task, the state restored, the corruption and the model."""
        plan = asked.trace
        subject = title_of("task", asked.task) if plan.prompt is None else f"“{plan.prompt}”"
        return f"{subject} · {plan.state}, {asked.ablation} · {model_name(asked.model)}"

    def size(self, run: Run[Trace, TraceResult]) -> str:
        """Return the number of prompts traced, and the state restored."""
        n, state = len(run.result.traced), run.request.trace.state
        return f"{n} {'prompt' if n == 1 else 'prompts'}, {state}"

    def frame(self, run: Run[Trace, TraceResult]) -> "DataFrame":
        """Return mean effects on the answer's probability: tokens, or classes of them, by layers or heads."""
        from engine.instruments.trace.frame import effects_frame

        return effects_frame(run)

    def command(self) -> Callable[..., None]:
        """Return `circuit-explorer trace`."""
        from engine.instruments.trace.cli import trace

        return trace

    def benches(self) -> "dict[str, Bench]":
        """Return the bench of a whole map."""
        from engine.instruments.trace.bench import BENCHES

        return BENCHES

    def ship(self, store: RunStore, carry_out: Callable[[AnyRequest], str]) -> None:
        """Trace the facts that the demo model knows, and some prompts, for every state and corruption."""
        from engine.instruments.shipped import MODEL, TRACED_PROMPTS, TRACED_STATES, corruption_names

        for corruption in corruption_names():
            for state in TRACED_STATES:
                # All facts first: their constants serve the prompts, too.
                own = [{"prompt": prompt, "subject": subject} for prompt, subject in TRACED_PROMPTS]
                plans = [{"state": state} | plan for plan in ({}, *own)]
                for plan in plans:
                    fields = {"model": MODEL, "task": "facts", "ablation": corruption, "trace": plan}
                    carry_out(Trace.model_validate(fields))

    def tables(self, store: RunStore) -> dict[str, str]:
        """Return the table of the shipped traces of all facts."""
        from engine.instruments.trace.table import traces_table

        return {"traces": traces_table(store)}
