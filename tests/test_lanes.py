"""Which requests wait behind others: those that take long. Somebody waits for the short ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.experiments import completed, lane
from engine.instruments.lens.completion import default_training
from engine.instruments.lens.result import LensMeasured
from engine.instruments.trace.result import TracedClass, TracedPrompt
from engine.models import shape_of_folder
from engine.runs.kinds import make_request
from engine.runs.request import Request
from engine.runs.store import RunStore
from engine.tracing.cells import METRICS
from engine.tracing.names import CLASSES
from tests.app.fake_run import estimate, write_fake_circuits
from tests.instruments.asking import write_task
from tests.made_up import made_up, write

CIRCUITS = [{"name": "the model"}]
PAIR = {"clean": "w1 w2", "corrupt": "w3 w2", "answers": [" w4"], "wrong_answers": [" w5"]}
PROMPT = {"prompt": "w1 w2 w3", "subject": "w2"}
PLAN = {"methods": ["random"], "ablations": ["zero"], "seeds": [0]}


class Asking:
    """Requests to the tiny model, completed as they are in the queue."""

    def __init__(self, model: Path, task: str, store: RunStore) -> None:
        self.model, self.task, self.store = model, task, store

    def __call__(self, kind: str, ablation: str | None = None, **fields: Any) -> Any:
        about: dict[str, Any] = {"model": str(self.model)}
        if ablation is not None:
            about |= {"task": self.task, "ablation": ablation}
        return completed(make_request(kind, **about | fields), self.store)

    def lane(self, request: Request) -> str:
        return lane(request, self.store)


@pytest.fixture
def ask(tiny_folder: Path, tmp_path: Path) -> Asking:
    task = write_task(tmp_path / "pairs.jsonl")
    return Asking(tiny_folder, str(task), RunStore(tmp_path / "runs", tmp_path / "shipped"))


@pytest.fixture
def run_id(ask: Asking) -> str:
    """A discovery with made-up scores."""
    graph = shape_of_folder(ask.model).graph("split")
    request = ask("discover", "mean", method="random", edges=60)
    return write_fake_circuits(ask.store, request, graph, (60,), 60)


@pytest.mark.parametrize("ablation", ["zero", "optimal"])
def test_discoveries_are_long(ask: Asking, ablation: str):
    assert ask.lane(ask("discover", ablation, method="random")) == "long"


def test_what_is_made_of_discoveries_is_long(ask: Asking, run_id: str):
    assert ask.lane(ask("sweep", "zero", sweep=PLAN | {"tasks": [ask.task]})) == "long"
    assert ask.lane(ask("stability", "zero", circuit=run_id, stability={"seeds": [1]})) == "long"


def test_lenses_are_trained_in_the_long_lane(ask: Asking):
    assert ask.lane(ask("train-lenses", lens_training={})) == "long"


@pytest.mark.parametrize(
    ("ablation", "expected"),
    [("mean", "short"), ("zero", "short"), ("counterfactual", "short"), ("optimal", "long")],
)
def test_measuring_is_short_unless_constants_are_trained_for_it(
    ask: Asking, run_id: str, ablation: str, expected: str
):
    assert ask.lane(ask("importance", ablation)) == expected
    assert ask.lane(ask("evaluate", ablation, circuit=run_id)) == expected


def test_a_measurement_that_was_typed_is_short_unless_constants_are_trained_for_it(ask: Asking, run_id: str):
    assert ask.lane(ask("measure", "mean", circuits=CIRCUITS, pairs=[PAIR])) == "short"
    assert ask.lane(ask("measure", "optimal", circuits=CIRCUITS, pairs=[PAIR])) == "long"
    clicked = {"name": "clicked", "parts": [{"run": run_id, "edges": 60}], "without": ["a0.h1"]}
    assert ask.lane(ask("measure", "mean", circuits=[clicked])) == "short"


def test_a_trace_of_a_prompt_by_noise_is_short_and_that_of_a_task_is_long(ask: Asking):
    assert ask.lane(trace(ask, "gaussian", PROMPT)) == "short"
    for corruption in ("gaussian", "optimal"):
        assert ask.lane(trace(ask, corruption, {})) == "long"


def test_a_prompt_traced_by_constants_is_short_once_these_are_trained_on_its_task(ask: Asking):
    request = trace(ask, "optimal", PROMPT)
    assert ask.lane(request) == "long"
    write_task_trace(ask.store, trace(ask, "optimal", {"state": "mlp"}))
    assert ask.lane(request) == "long", "those are of another state"
    write_task_trace(ask.store, trace(ask, "optimal", {}))
    assert ask.lane(request) == "short"


def test_a_text_is_read_in_the_short_lane_once_its_lenses_are_trained(ask: Asking):
    plain = ask("lens", lens={"text": "w1 w2 w3", "lenses": ["logit"]})
    tuned = ask("lens", lens={"text": "w1 w2 w3", "lenses": ["logit", "tuned"]})
    assert (ask.lane(plain), ask.lane(tuned)) == ("short", "long")
    assert write_training(ask.store, default_training(tuned)) == tuned.lens.trained
    assert (ask.lane(plain), ask.lane(tuned)) == ("short", "short")


def trace(ask: Asking, corruption: str, plan: dict[str, str]) -> Any:
    return ask("trace", corruption, task="facts", trace=plan)


def write_task_trace(store: RunStore, request: Request) -> str:
    """Write the trace of a task with made-up effects."""
    ends = dict.fromkeys(METRICS, estimate(0.5))
    effects = {name: [end] for name, end in ends.items()}
    of_class = made_up(TracedClass, effects=effects, share=[None], concentration=None)
    prompt = made_up(TracedPrompt, tokens=["<s>", "w1"], classes=[None, None], subject=[1, 2])
    shapes = {"clean": (1, 3), "corrupted": (1, 3), "effects": (1, len(CLASSES), 1, 3)}
    tensors = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()}
    classes = dict.fromkeys(CLASSES, of_class)
    return write(store, request, tensors, traced=[prompt], clean=ends, corrupted=ends, classes=classes)


def write_training(store: RunStore, request: Request) -> str:
    """Write the training of lenses with made-up numbers."""
    values = {name: [estimate(0.5)] for name in ("kl", "cross_entropy", "entropy")}
    lens = made_up(LensMeasured, **values)
    kl = np.zeros((1, 1), dtype=np.float32)
    return write(store, request, {"kl.tuned": kl}, n_texts=1, places=["0"], lenses={"tuned": lens})
