"""Functions for notebooks and scripts: one per instrument, each returning an `Answer`.

    model = engine.load_model("explorer-4l")
    task = engine.load_task("ioi", model)
    circuit = engine.discover(model, task, method="eap", ablation="mean")
    circuit.figure()

As on the command line and in the dashboard, a request whose run is finished is not computed again. Progress
is shown as a bar. Models and tasks are passed as loaded objects or by name.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs] - it has none
import torch
from tqdm.auto import tqdm

from engine.errors import Cancelled, CircuitExplorerError
from engine.experiments import run as carry_out
from engine.instruments.base import instrument_of, instruments
from engine.instruments.completion import with_scores
from engine.models import Model, find_model, weights_hash
from engine.models.load import usual_dtype
from engine.runs.folder import AnyRun
from engine.runs.kinds import make_request
from engine.runs.request import Request
from engine.runs.store import RunStore
from engine.runs.store import open_run as open_typed
from engine.shipped import check_shipped
from engine.tasks.base import Split
from engine.tasks.dataset import Prompts, load_prompts
from engine.threads import fix_threads
from engine.workbench.ready import cached_model

STEPS = 1000  # of a progress bar
ABOUT = ("kind", "model", "task", "method", "ablation")  # what a list says of a run

check_shipped()
torch.set_num_threads(fix_threads())  # as everywhere else; the notebook may have imported torch already


@dataclass(frozen=True)
class Task:
    """The prompts of a task for a model.

    Attributes:
        name: a task's name, or the path of a file.
        prompts: those of one split, tokenised.
        fields: the fields of a request that determine the prompts: `split`, `n_prompts`, `seed`, `bos`.
    """

    name: str
    prompts: Prompts
    fields: dict[str, Any]

    def to_frame(self) -> pd.DataFrame:
        """Return a row for every pair: "clean", "corrupt", and the token ids of answers and wrong answers."""
        names = ("clean", "corrupt", "answers", "wrong_answers")
        return pd.DataFrame([{name: getattr(item, name) for name in names} for item in self.prompts.items])


@dataclass(frozen=True)
class Answer:
    """A finished run.

    Attributes:
        run: the content of the run folder: `run.request`, `run.result`, `run.tensors`.
    """

    run: AnyRun

    @property
    def run_id(self) -> str:
        """The name of the run."""
        return self.run.run_id

    @cached_property
    def circuit(self) -> Any:
        """The circuit at the requested size; RequestError for a run without a graph of its own."""
        return self.run.circuit_at()

    def to_frame(self) -> pd.DataFrame:
        """Return the results as a table; its rows depend on the instrument."""
        return instrument_of(self.run.request).frame(self.run)

    def to_networkx(self) -> Any:
        """Return the circuit as a `networkx.MultiDiGraph` of nodes, with a score for every edge.

        Raises:
            RequestError: the run has no graph of its own.
        """
        return self.circuit.graph.to_networkx(self.circuit.kept, self.circuit.scores)

    def figure(self, dark: bool = False) -> Any:
        """Return the main figure of the dashboard for this run, a `plotly.graph_objects.Figure`.

        Raises:
            CircuitExplorerError: the dashboard is not installed.
        """
        entries = entry_points(group="circuit_explorer.figures", name="figure")
        if not entries:
            raise CircuitExplorerError("pictures are drawn by the dashboard, which is not installed")
        return next(iter(entries)).load()(self.run, dark)

    def __repr__(self) -> str:
        """Return the run's name and its size."""
        return f"<{self.run_id}: {instrument_of(self.run.request).size(self.run)}>"


def load_model(model: str, dtype: str | None = None) -> Model:
    """Load a model; the last one stays in memory for later calls.

    Args:
        model: a shipped name, a folder in Hugging Face form, or a Hugging Face id.
        dtype: "float32", "bfloat16" or "float16"; None chooses by the model's size and the device.

    Raises:
        RequestError: unknown model or dtype, or a family that is not supported.
    """
    return cached_model(model, dtype, weights_hash(find_model(model)))


def load_task(
    task: str,
    model: Model | str,
    split: Split = "test",
    n_prompts: int = 200,
    seed: int = 0,
    bos: bool | None = None,
) -> Task:
    """Load the prompts of a task; functions that get them use these prompts and their seed.

    Args:
        task: a task's name, or a file of pairs (JSONL, JSON, CSV).
        model: the model whose tokenizer is used.
        split: "train", "validation" or "test".
        n_prompts: largest number of prompts.
        seed: seed by which prompts are drawn.
        bos: None tokenises as the model's tokenizer does; True or False overrides its BOS token.

    Raises:
        RequestError: unknown task, a broken file, or words that are not one token of this model.
    """
    loaded = load_model(model) if isinstance(model, str) else model
    fields = {"split": split, "n_prompts": n_prompts, "seed": seed, "bos": bos}
    return Task(task, load_prompts(task, loaded, split, n_prompts, seed, bos), fields)


def discover(
    model: Model | str,
    task: Task | str,
    method: str = "edge-pruning",
    ablation: str = "counterfactual",
    *,
    runs_dir: str | Path | None = None,
    **fields: Any,
) -> Answer:
    """Score every edge of a model for a task, and measure the circuits of every size.

    Args:
        model, task: loaded, or by name.
        method, ablation: by name; `circuit-explorer list methods` and `list ablations` name them.
        runs_dir: folder of your runs; None takes the usual one.
        fields: of the request: `edges` or `sparsity`, `seed`, `n_prompts`, `split`, `qkv`, `settings` of the
            method and `ablation_settings` as dictionaries.

    Raises:
        RequestError: a name is unknown, or a field is unknown or out of range.
    """
    return _ask("discover", model, task, runs_dir, method=method, ablation=ablation, **fields)


def evaluate(
    circuit: Answer | str, ablation: str, *, runs_dir: str | Path | None = None, **fields: Any
) -> Answer:
    """Measure the circuits of every size of a finished discovery under another ablation, on its prompts.

    Args:
        circuit: the discovery, or the id of its run.
        ablation: by name.
        runs_dir: folder of your runs; None takes the usual one.
        fields: of the request: `split` and `n_prompts` for other prompts, `edges`, `ablation_settings`.

    Raises:
        RequestError: there is no such run, or it has no circuit.
    """
    store = RunStore(runs_dir)
    origin = with_scores(store, circuit.run_id if isinstance(circuit, Answer) else circuit)
    asked = origin.request
    about = {name: getattr(asked, name) for name in ("model", "task", "split", "n_prompts")}
    settings = {"ablation_settings": asked.ablation_settings} if ablation == asked.ablation else {}
    about |= {"circuit": origin.run_id, "ablation": ablation} | settings
    return _carry_out(make_request("evaluate", **about | fields), store)


def importance(
    model: Model | str,
    task: Task | str,
    ablation: str = "mean",
    *,
    runs_dir: str | Path | None = None,
    **fields: Any,
) -> Answer:
    """Measure every head and MLP: the loss when it alone is ablated, and its direct effect on the answer.

    Args:
        model, task: loaded, or by name.
        ablation: by name.
        runs_dir: folder of your runs; None takes the usual one.
        fields: of the request: `seed`, `n_prompts`, `split`, `ablation_settings`.

    Raises:
        RequestError: a name is unknown, or a field is unknown or out of range.
    """
    return _ask("importance", model, task, runs_dir, ablation=ablation, **fields)


def trace(
    model: Model | str,
    prompt: str | None = None,
    subject: str | None = None,
    *,
    subject_occurrence: int = 1,
    task: Task | str = "facts",
    corruption: str = "gaussian",
    state: str = "residual",
    window: int = 1,
    answer: str | None = None,
    wrong_answer: str | None = None,
    runs_dir: str | Path | None = None,
    **fields: Any,
) -> Answer:
    """Corrupt a prompt's subject, restore clean states one by one, and measure the effects on the answer.

    Args:
        model: loaded, or by name.
        prompt, subject: your own prompt and its subject; None traces the test prompts of the task.
        subject_occurrence: which one, if the subject stands in the prompt several times.
        task: loaded, or by name; the constants of an optimal ablation are trained on it, too.
        corruption: "gaussian" or "optimal".
        state: "residual", "attention", "mlp" or "head".
        window: number of layers restored at once.
        answer, wrong_answer: continuations of the prompt; None takes the model's first and second choice.
        runs_dir: folder of your runs; None takes the usual one.
        fields: of the request: `seed`, `n_prompts`, `ablation_settings` of the corruption.

    Raises:
        RequestError: a name is unknown, or the subject is not in the prompt.
    """
    plan = {"prompt": prompt, "subject": subject, "answer": answer, "wrong_answer": wrong_answer}
    plan |= {"state": state, "window": window, "subject_occurrence": subject_occurrence}
    return _ask("trace", model, task, runs_dir, ablation=corruption, trace=plan, **fields)


def read_lens(
    model: Model | str, text: str, lens: str = "logit", *, runs_dir: str | Path | None = None, **reading: Any
) -> Answer:
    """Read a text by a lens: predictions from the residual stream at every layer.

    Lenses with parameters are trained once per model, which takes minutes for a small one.

    Args:
        model: loaded, or by name.
        text: the text to read.
        lens: "logit", "mean", "tuned", "oca" or "linear-oca".
        runs_dir: folder of your runs; None takes the usual one.
        reading: further fields: `words` to follow, `middle` to read in the middle of layers, `ablated` nodes.

    Raises:
        RequestError: an unknown lens, or a text that is longer than the model's context.
    """
    asked = make_request("lens", **_about(model), lens={"text": text, "lenses": [lens]} | reading)
    return _carry_out(asked, RunStore(runs_dir))


def open_run(run: str, *, runs_dir: str | Path | None = None) -> Answer:
    """Open a finished run.

    Args:
        run: its id, or its folder.
        runs_dir: folder of your runs; None takes the usual one.

    Raises:
        RequestError: there is no such run, or it is broken.
    """
    return Answer(open_typed(RunStore(runs_dir), run))


def list_runs(kind: str | None = None, *, runs_dir: str | Path | None = None) -> pd.DataFrame:
    """Return a table of the runs, newest first.

    The columns are "run", "kind", "model", "task", "method", "ablation", "size" and "created".

    Args:
        kind: kind of the runs to list, for instance "discover"; None lists all.
        runs_dir: folder of your runs; None takes the usual one.
    """
    rows: list[dict[str, Any]] = []
    wanted = None if kind is None else instruments.get(kind).kind
    for run in RunStore(runs_dir).list():
        if wanted in (None, run.request.kind):
            about = run.request.to_json()
            row = {name: about[name] for name in ABOUT}
            size = instruments.get(run.request.kind).size(run)
            rows.append({"run": run.run_id} | row | {"size": size, "created": run.result.created})
    return pd.DataFrame(rows, columns=["run", *ABOUT, "size", "created"])


def _ask(
    kind: str, model: Model | str, task: Task | str, runs_dir: str | Path | None, **fields: Any
) -> Answer:
    about = _about(model)
    about |= {"task": task} if isinstance(task, str) else {"task": task.name} | task.fields
    return _carry_out(make_request(kind, **about | fields), RunStore(runs_dir))


def _about(model: Model | str) -> dict[str, str]:
    """Return the request's fields on a model, with its dtype only if that is not the usual one."""
    if isinstance(model, str):
        return {"model": model}
    usual = model.dtype == usual_dtype(find_model(model.id), model.device)
    return {"model": model.id} | ({} if usual else {"dtype": str(model.dtype).removeprefix("torch.")})


def _carry_out(request: Request, store: RunStore) -> Answer:
    """Carry out a request with a progress bar; interrupting it leaves no incomplete run behind."""
    title, form = instrument_of(request).title, "{l_bar}{bar}| {elapsed}"
    with tqdm(total=STEPS, desc=title, leave=False, bar_format=form) as bar:

        def report(done: int, total: int, message: str) -> None:
            bar.n = round(STEPS * done / max(total, 1))
            bar.set_description(message, refresh=False)
            bar.refresh()

        try:
            return Answer(store.get(carry_out(request, report, store)))
        except KeyboardInterrupt as stop:
            raise Cancelled("cancelled") from stop
