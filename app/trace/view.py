"""The page Causal tracing, and the view of traces."""

import numpy as np
import plotly.graph_objects as go

from app.figures.style import Look
from app.runs import Shelf
from app.trace.data import effects_of, subject_key
from app.trace.figures.map import map_figure
from app.views import Address, Page, View, estimate_fact, settings_facts, views
from engine.instruments.trace.request import Trace
from engine.instruments.trace.result import TraceResult
from engine.runs.folder import Run

PAGE = Page("trace", "Causal tracing", ":material/timeline:", order=40)


@views.register("trace")
class TraceView(View[Trace, TraceResult]):
    """A prompt or a task traced."""

    def address(self, run: Run[Trace, TraceResult], shelf: Shelf) -> Address:
        """Return Causal tracing with this run."""
        plan = run.request.trace
        query = {"subject": subject_key(run.request), "state": plan.state, "window": str(plan.window)}
        return Address(PAGE, query | {run.request.ablation: run.run_id})

    def good(self, run: Run[Trace, TraceResult]) -> dict[str, str]:
        """Return the metric of the answer on the clean and the corrupted prompt."""
        result = run.result
        facts = {"prompts": f"{len(result.traced):,}"}
        if not result.classes:
            facts["answer"] = result.traced[0].answer.strip()
        for end, metrics in (("clean", result.clean), ("corrupted", result.corrupted)):
            facts[f"probability, {end}"] = estimate_fact(metrics["probability"])
        return facts

    def figure(self, run: Run[Trace, TraceResult], scheme: Look) -> go.Figure:
        """Return the map of effects on the answer's probability; of single heads that of the last token."""
        result, effects = run.result, effects_of(run, "probability")
        columns = list(result.classes) or result.traced[0].tokens
        if run.request.trace.state == "head":
            effects = effects[-1].reshape(-1, result.n_heads).T
            columns = [str(head) for head in range(result.n_heads)]
        span = float(np.nanmax(effects, initial=0.0)) or 1.0
        return map_figure(effects.T, columns, span, scheme)

    def asked(self, run: Run[Trace, TraceResult]) -> dict[str, str]:
        """Return the state restored, and the corruption."""
        facts = super().asked(run)
        facts = {"task": facts.pop("task"), "corruption": facts.pop("ablation")} | facts
        return facts | settings_facts(run.request.trace.model_dump())
