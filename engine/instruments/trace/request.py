"""The request of a trace."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.runs.request import Name, OfATask
from engine.settings import Later
from engine.tracing.names import Holdout, State


class TracePlan(BaseModel):
    """The plan of a trace: of a prompt of the user's, or of the test prompts of the task.

    Attributes:
        state: the state restored: the stream before a layer, or the output of its attention, MLP or one head.
        window: number of layers restored at once.
        prompt, subject: the user's prompt and its subject; None traces the task.
        subject_occurrence: which of several occurrences of the subject is meant.
        answer, wrong_answer: continuations of the prompt; None takes the model's first and second choice.
        holdout: how test prompts differ from those that constants are trained on: "random": other templates
            of the same facts, at random; "relations": other kinds of facts.
    """

    model_config = ConfigDict(extra="forbid")

    state: State = Field(default="residual", description="What is restored: residual, attention, mlp, head.")
    window: int = Field(default=1, ge=1, le=1000, description="Layers restored at once.")
    prompt: Annotated[str, Field(min_length=1, max_length=20_000)] | None = Field(
        default=None, description="A prompt of your own."
    )
    subject: Annotated[str, Field(min_length=1, max_length=20_000)] | None = Field(
        default=None, description="What is corrupted, as it stands in the prompt."
    )
    subject_occurrence: Annotated[int, Later()] = Field(
        default=1, ge=1, le=1000, description="Which one, if the subject stands in the prompt several times."
    )
    answer: Name | None = Field(
        default=None,
        description="What is followed, of one or more tokens; the model's choice if not given.",
    )
    wrong_answer: Name | None = Field(
        default=None, description="What its logit is set against; the model's next choice if not given."
    )
    holdout: Holdout = Field(
        default="random",
        description="What test prompts keep from training: random, or whole relations.",
    )

    @model_validator(mode="after")
    def _whole(self) -> "TracePlan":
        if (self.prompt is None) != (self.subject is None):
            raise ValueError("a prompt of your own needs its subject, and a subject its prompt")
        if self.prompt is None and self.subject_occurrence > 1:
            raise ValueError("an occurrence is of the subject of a prompt of your own")
        if self.prompt is None and (self.answer or self.wrong_answer):
            raise ValueError("answers are for a prompt of your own: give the prompt and its subject")
        if self.state == "head" and self.window > 1:
            raise ValueError("heads are restored one by one: take the window 1")
        return self


class Trace(OfATask, frozen=True):
    """Restore states of corrupted prompts; `ablation` is the corruption, `ablation_settings` are its own."""

    kind: Literal["trace"] = "trace"
    task: str = Field(
        default="facts", description="Traced where there is no prompt, and what constants are trained on."
    )
    ablation: str = Field(default="gaussian", description="gaussian or optimal.")
    trace: TracePlan

    def of_the_task(self) -> "Trace":
        """Return the request that traces the task instead of a prompt of the user's."""
        plain = {
            "prompt": None,
            "subject": None,
            "subject_occurrence": 1,
            "answer": None,
            "wrong_answer": None,
        }
        return self.model_copy(update={"trace": self.trace.model_copy(update=plain)})
