"""The result of a trace."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from engine.circuits.graph import Graph
from engine.instruments.trace.request import Trace
from engine.runs.record import Count, Estimate, FaultError, Form, Record, Shapes, Texts
from engine.tracing.names import CLASSES, TokenClass

METRICS = {"probability", "log_probability", "logit_difference"}


class TracedPrompt(Form):
    """A traced prompt; `subject` has the index of its first token, and of the token after its last."""

    text: str
    tokens: Texts
    subject: Annotated[list[Count], Field(min_length=2, max_length=2)]
    classes: list[TokenClass | None]
    answer: str
    wrong_answer: str
    relation: str


class TracedClass(Form):
    """Averages for a class of tokens; columns are layers, or heads layer by layer.

    Attributes:
        effects: average indirect effect, per metric and column.
        share: share of the lost probability that is recovered, per column.
        concentration: effective number of columns.
    """

    effects: dict[str, list[Estimate | None]]
    share: list[Estimate | None]
    concentration: Estimate | None


class TraceResult(Record):
    """Effects of restoring states, and metrics of clean and corrupted prompts, of one prompt or of a task.

    Arrays, where the C columns are layers, or heads layer by layer: for a prompt of S tokens "effects" and
    "restored" [S, C, draws, 3]; for a task "effects" [n_prompts, classes, C, 3], "clean" and "corrupted"
    [n_prompts, 3]; "constants" [classes · L + 1, D] if they were trained.

    Attributes:
        classes: averages by class of token, for a task only.
        n_drawn: number of prompts drawn; those whose answer the model knows are traced.
    """

    traced: Annotated[list[TracedPrompt], Field(min_length=1, max_length=100_000)]
    clean: dict[str, Estimate]
    corrupted: dict[str, Estimate]
    classes: dict[TokenClass, TracedClass]
    n_drawn: Count
    n_heads: Annotated[int, Field(ge=1)]
    history: dict[str, list[FiniteFloat]]

    def misfit(self, request: Trace) -> str | None:
        """Return the first inconsistency; see the base class."""
        if (request.trace.prompt is None) != bool(self.classes):
            return "it is of a prompt where its request is of a task, or the other way round"
        if self.classes and tuple(self.classes) != CLASSES:
            return f"its classes of tokens are not {', '.join(CLASSES)}, in this order"
        classes = list(self.classes.values())
        for ends in (self.clean, self.corrupted, *(of_class.effects for of_class in classes)):
            if missing := METRICS - ends.keys():
                return f"it has no '{min(missing)}'"
        rows = [row for of_class in classes for row in of_class.effects.values()]
        lengths = {len(row) for row in (*rows, *(of_class.share for of_class in classes))}
        if len(lengths) > 1 or 0 in lengths:
            return "the effects of its classes have different lengths"
        if rows and all(effect is None for row in rows for effect in row):
            return "no class of tokens has effects"
        for prompt in self.traced:
            first, end = prompt.subject
            if not first < end <= len(prompt.tokens) == len(prompt.classes):
                return f"the subject or the classes of '{prompt.text}' do not fit its tokens"
        return None

    def arrays(self, request: Trace, shapes: Shapes, graph: Graph | None) -> Shapes:
        """Return the shapes of the effects; see the base class. Heads must come in whole layers."""
        effects, n = shapes.get("effects", ()), len(self.traced)
        if len(effects) != 4 or 0 in effects:
            raise FaultError("tensors.safetensors has no 'effects' of four dimensions")
        columns = effects[2 if self.classes else 1]
        if request.trace.state == "head" and columns % self.n_heads:
            raise FaultError(f"its effects have {columns} columns for {self.n_heads} heads")
        if not self.classes:
            shape = (len(self.traced[0].tokens), *effects[1:3], 3)
            return {"effects": shape, "restored": shape}
        columns = len(next(iter(self.classes.values())).share)
        ends: Shapes = {"clean": (n, 3), "corrupted": (n, 3)}
        if missing := ends.keys() - shapes.keys():
            raise FaultError(f"tensors.safetensors has no '{min(missing)}'")
        return ends | {"effects": (n, len(self.classes), columns, 3)}
