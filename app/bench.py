"""Benches of the dashboard, server side; `circuit-explorer bench` finds them as entry points.

Each bench is a context manager that prepares its pages and yields a function that does the work once.
Benches whose names end in `_demo` use runs of the demo model, and `first_page` uses the shipped runs. The
others use runs of GPT-2 small's shape, 32,491 edges: results of a shipped run with made-up scores.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from streamlit.logger import set_log_level
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.testing.v1 import AppTest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from app.figures.graph import circuit_figure
from app.figures.style import LIGHT
from app.runs import FIRST, open_run, read_opened
from engine.circuits.circuit import Circuit, circuit_to_json, top_edges
from engine.circuits.graph import Graph, shared_graph
from engine.cli.serve import free_port
from engine.errors import CircuitExplorerError
from engine.instruments.discover.request import Discover
from engine.runs.store import RunStore
from engine.shipped import shipped

APP = Path(__file__).parent
PATIENCE = 60  # seconds
_EDGES = 300

_SLIDER = range(200, 2000)  # edges

Bench = Iterator[Callable[[], object]]


@contextmanager
def figure_300_edges() -> Bench:
    """The picture of 300 edges, as it is sent to the browser."""
    circuit = _circuit(Graph(12, 12), seed=0)
    yield lambda: circuit_figure(circuit, LIGHT).to_json()


@contextmanager
def slider_to_picture() -> Bench:
    """The whole page for another size of circuit."""
    with _large_runs(1) as (run_id,):
        yield _slide(run_id)


@contextmanager
def slider_to_picture_demo() -> Bench:
    """The same for a run of the demo model."""
    with _demo_runs() as runs:
        yield _slide(runs[0])


@contextmanager
def open_another_run() -> Bench:
    """The whole page for a run that this server has not opened yet."""
    with _large_runs(2) as runs:
        yield _open_others(runs)


@contextmanager
def open_another_run_demo() -> Bench:
    """The same for runs of the demo model."""
    with _demo_runs() as runs:
        yield _open_others(runs)


@contextmanager
def first_page() -> Bench:
    """A server started, and the first page of a browser complete."""
    with TemporaryDirectory() as folder:
        environment = os.environ | {"CIRCUIT_EXPLORER_RUNS": folder}

        def once() -> None:
            port = free_port("127.0.0.1", 8600)
            command = [sys.executable, "-m", "streamlit", "run", str(APP / "main.py")]
            with subprocess.Popen(
                [*command, "--server.port", str(port)],
                cwd=shipped(".streamlit").parent,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as server:
                try:
                    _visit(server, port)
                finally:
                    server.kill()

        yield once


def _slide(run_id: str) -> Callable[[], object]:
    page = _page(run_id)
    sizes = cycle(size for size in open_run(run_id).sizes if size in _SLIDER)

    def once() -> None:
        page.select_slider(key="edges").set_value(next(sizes))
        _draw(page)

    return once


def _open_others(runs: list[str]) -> Callable[[], object]:
    page = _page(runs[0])
    others = cycle(reversed(runs))

    def once() -> None:
        read_opened.clear()
        shared_graph.cache_clear()
        page.selectbox(key="run").set_value(next(others))
        _draw(page)

    return once


def _visit(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait for the server, ask for its first page as a browser does, and wait until that is complete."""
    address, spoken = f"ws://127.0.0.1:{port}/_stcore/stream", [Subprotocol("streamlit")]
    started = time.monotonic()
    while server.poll() is None and time.monotonic() - started < PATIENCE:
        try:
            with connect(address, subprotocols=spoken, max_size=None) as connection:
                _ask(connection)
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise CircuitExplorerError("the dashboard does not start: 'circuit-explorer serve' says why")


def _ask(connection: ClientConnection) -> None:
    question = BackMsg()
    question.rerun_script.query_string = ""
    connection.send(question.SerializeToString())
    kinds: set[str | None] = set()
    while "script_finished" not in kinds:
        message = ForwardMsg()
        message.ParseFromString(bytes(connection.recv(PATIENCE, decode=False)))
        kinds |= {message.WhichOneof("type"), message.delta.new_element.WhichOneof("type")}
    if "bidi_component" not in kinds:
        raise CircuitExplorerError("the first page has no picture")


def _circuit(graph: Graph, seed: int) -> Circuit:
    """Return a circuit of at least 300 edges: some nodes matter more than others, as in models."""
    rng = np.random.default_rng(seed)
    weight = rng.exponential(1.0, len(graph.nodes))
    weight[[0, -1]] = weight.max()
    ends = weight[graph.edges[:, 0]] + weight[graph.reader_nodes[graph.edges[:, 1]]]
    scores = (ends + rng.exponential(1.0, graph.n_edges)).astype(np.float32)
    tried = (top_edges(graph, scores, k) for k in range(_EDGES, graph.n_edges, 10))
    return next(circuit for circuit in tried if circuit.n_edges >= _EDGES)


@contextmanager
def _large_runs(count: int) -> Iterator[list[str]]:
    """Make runs of GPT-2 small's shape in a folder of their own, and let the pages show that folder."""
    with _own_folder() as store:
        yield [_write_run(store, seed) for seed in range(count)]


@contextmanager
def _demo_runs() -> Iterator[list[str]]:
    """Let the pages show the shipped runs alone."""
    with _own_folder() as store:
        yield [run.run_id for run in store.list() if run.circuit is not None]


@contextmanager
def _own_folder() -> Iterator[RunStore]:
    with TemporaryDirectory() as folder:
        os.environ["CIRCUIT_EXPLORER_RUNS"] = folder
        yield RunStore(Path(folder))


def _write_run(store: RunStore, seed: int) -> str:
    shipped = next(
        run
        for run in store.list()
        if isinstance(run.request, Discover)
        and (run.request.model, run.request.task, run.request.ablation) == FIRST
    )
    graph = shared_graph(12, 12, "split", False)
    result = {"schema": 1} | shipped.result.model_dump()
    scores, growth = _circuit(graph, seed).scores, graph.n_edges / result["summary"]["n_edges_total"]

    def grown(point: dict[str, Any]) -> dict[str, Any]:
        sizes = {
            name: round(point[name] * growth) for name in ("edges_requested", "n_edges") if name in point
        }
        return point | sizes | {"n_edges_total": graph.n_edges}

    result |= {
        "summary": grown(result["summary"]),
        "curve": [grown(point) for point in result["curve"]],
        "circuit_top": {str(round(int(k) * growth)): top for k, top in result["circuit_top"].items()},
    }
    tensors: dict[str, np.ndarray] = {"scores": scores}
    for i, prompt in enumerate(result["prompts"]):
        length = len(prompt["tokens"])
        tensors[f"attention.{i}"] = np.full((12, 12, length, length), 1 / length, dtype=np.float16)
    edges = result["summary"]["n_edges"]
    request = shipped.request.model_copy(update={"model": "gpt2", "seed": seed, "edges": edges})
    circuit = top_edges(graph, scores, edges, {"model": "gpt2"})
    return store.write(request, result, tensors, circuit_to_json(circuit, 768))


def _page(run_id: str) -> AppTest:
    set_log_level("error")  # it warns that there is no browser
    page = AppTest.from_file(APP / "shell.py", default_timeout=PATIENCE)
    page.query_params["run"] = run_id
    return _draw(page)


def _draw(page: AppTest) -> AppTest:
    page.run()
    if page.exception or page.error:
        raise CircuitExplorerError(f"the page failed: {[*page.exception, *page.error][0].value}")
    return page
