"""Compute the shipped runs in cached_runs/ anew (`make runs`).

Edge Pruning on the demo model; every circuit evaluated under every other ablation, and the importance of
every node under every ablation, so that nothing has to be computed when they are looked at. The last two are
one task asked in two ways, as in the case study of Edge Pruning (Bhaskar et al. 2024, section 5).

Facts are traced under both corruptions, all of them and two prompts; lenses are trained and read some texts.

A sweep over all methods and a discovery repeated are shipped without the runs they were made of, which stay
in `PARTS`: stopped and started again, this goes on where it was.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dask.system import CPU_COUNT

from engine.ablations.base import ablations
from engine.errors import RequestError
from engine.experiments import run
from engine.jobs.queue import JobQueue
from engine.runs.combine import combinations
from engine.runs.request import LensReading, Part, Request, Stability, State, Sweep, Trace
from engine.runs.store import SHIPPED_RUNS, RunStore
from engine.tracing.base import corruptions

MODEL, METHOD = "explorer-4l", "edge-pruning"
SHIPPED = (  # task, ablation, share of the edges to leave out
    ("ioi", "counterfactual", 0.95),
    ("greater-than", "counterfactual", 0.95),
    ("gendered-pronoun", "counterfactual", 0.95),
    ("facts", "counterfactual", 0.95),
    ("ioi", "mean", 0.95),
    ("ioi", "zero", 0.95),
    ("boolean-instruction", "counterfactual", 0.85),
    ("boolean-few-shot", "counterfactual", 0.85),
)
SWEPT = Sweep(
    methods=[
        "ugs",
        "hcgs",
        "edge-pruning",
        "eap-then-edge-pruning",
        "node-pruning",
        "acdc",
        "eap",
        "eap-ig",
        "random",
    ],
    ablations=["counterfactual", "optimal"],
    tasks=["ioi", "greater-than"],
    seeds=[0],
)
SIZES = [7, 15, 30, 76, 151, 303, 759, 1519]  # MIB's from .5 % of the 1,519 edges on
REPEATED = Stability(seeds=[1, 2, 3], folds=2)  # of the first shipped discovery
PARTS = SHIPPED_RUNS.parent / "build" / "parts"
TRACED: tuple[State, ...] = ("residual", "attention", "mlp", "head")
TRACED_PROMPTS = (  # besides all facts, which come first: their constants serve these, too
    ("The capital of South Korea is", "South Korea"),
    ("The author of Pride and Prejudice is", "Pride and Prejudice"),
)
READ: tuple[LensReading, ...] = (
    LensReading(text="The capital of South Korea is", words=[" Seoul", " Tokyo", " Korea"], middle=True),
    LensReading(
        text="When Mary and John went to the store, John gave a drink to", words=[" Mary", " John", " the"]
    ),
    LensReading(text="The capital of South Korea is", words=[" Seoul", " Tokyo"], ablated=["m0"]),
)
READ_IN = ("ioi", "mean")  # in whose circuit the second is read, too: lenses put means in the place of edges
ASKED_TWICE = ("boolean-instruction", "boolean-few-shot")  # by an instruction and by three examples


def main() -> None:
    """Remove the shipped runs, which are under version control, and compute them."""
    shutil.rmtree(SHIPPED_RUNS, ignore_errors=True)
    store = RunStore(SHIPPED_RUNS)
    compute(store)
    measure_shared(store, ASKED_TWICE)
    measure_shared(store, ["ioi"], first=1)
    trace_facts(store)
    read_texts(store)
    first = next(run for run in store.list() if _is_first(run.request))
    asked = Request(
        kind="sweep", model=MODEL, task="ioi", ablation="counterfactual", sweep=SWEPT, sizes=SIZES
    )
    by_way_of_others(store, asked)
    by_way_of_others(
        store,
        Request(
            kind="stability",
            model=MODEL,
            task="ioi",
            ablation="counterfactual",
            circuit=first.run_id,
            stability=REPEATED,
        ),
    )


def compute(store: RunStore) -> None:
    """Compute the shipped runs that are not in `store` yet."""
    for task, ablation, sparsity in SHIPPED:
        asked = Request(model=MODEL, task=task, method=METHOD, ablation=ablation, sparsity=sparsity)
        found = run(asked, _report, store)
        summary = store.get(found).result["summary"]
        sys.stderr.write(f"{found}: {summary['n_edges']} edges, KL {summary['kl']['mean']:.4f}\n")
        for other in ablations.names():
            more = [Request(kind="importance", model=MODEL, task=task, ablation=other)]
            if other != ablation:
                more.append(Request(kind="evaluate", model=MODEL, task=task, ablation=other, circuit=found))
            for request in more:
                try:
                    run(request, _report, store)
                except RequestError as error:  # a length that one prompt alone has leaves nothing to resample
                    sys.stderr.write(f"no {request.kind} of {task} under {other}: {error}\n")


def trace_facts(store: RunStore) -> None:
    """Trace the facts that the model knows, and the prompts, for every state and corruption."""
    for corruption in corruptions.names():
        for state in TRACED:
            whole = Trace(state=state)
            own = [Trace(state=state, prompt=prompt, subject=subject) for prompt, subject in TRACED_PROMPTS]
            for asked in (whole, *own):
                run(
                    Request(kind="trace", model=MODEL, task="facts", ablation=corruption, trace=asked),
                    _report,
                    store,
                )


def read_texts(store: RunStore) -> None:
    """Train the lenses and let them read texts, one of them in a circuit, too."""
    found = next(
        one
        for one in store.list()
        if one.request.kind == "discover" and (one.request.task, one.request.ablation) == READ_IN
    )
    part = Part(run=found.run_id, edges=SIZES[4])
    in_circuit = READ[1].model_copy(update={"circuit": part})
    for reading in (*READ, in_circuit):
        run(Request(kind="lens", model=MODEL, task="text", ablation="none", lens=reading), _report, store)


def by_way_of_others(store: RunStore, request: Request) -> None:
    """Carry out a request that is made of others on every core, and put its own run alone into `store`."""
    parts = RunStore(PARTS, store.user_dir)
    queue = JobQueue(parts, workers=CPU_COUNT)
    try:
        job_id = queue.submit(request)
        while (job := queue.status(job_id)).active:
            time.sleep(1)
    finally:
        queue.close()
    sys.stderr.write(f"{job_id}: {job.state} {job.error or ''}\n")
    found = parts.get(job_id)

    def copy(folder: Path) -> None:
        shutil.copytree(found.folder, folder, dirs_exist_ok=True)

    store.put(copy)


def _is_first(request: Request) -> bool:
    return request.kind == "discover" and (request.task, request.ablation) == SHIPPED[0][:2]


def measure_shared(store: RunStore, tasks: Sequence[str], first: int | None = None) -> None:
    """Measure what the circuits for some tasks share, on the task and under the ablation of each of them.

    Args:
        store: where the circuits are.
        tasks: which circuits.
        first: measure on this many of them alone, in the order of `SHIPPED`.
    """
    order = [(task, ablation) for task, ablation, _ in SHIPPED if task in tasks]
    found = {(run.request.task, run.request.ablation): run for run in store.list() if run.circuit is not None}
    runs = [found[of] for of in order]
    parts = [Part(run=one.run_id, edges=one.request.target_edges(0)) for one in runs]
    for one in runs[:first]:
        asked = one.request
        run(
            Request(
                kind="measure",
                model=asked.model,
                task=asked.task,
                ablation=asked.ablation,
                circuits=combinations(parts),
            ),
            _report,
            store,
        )


def _report(done: int, total: int, message: str) -> None:
    pass


if __name__ == "__main__":
    main()
