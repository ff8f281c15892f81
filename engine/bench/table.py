"""The benchmark table: costs of the fast paths, in units F of the plain Hugging Face forward, and of pages.

The model is a random one of GPT-2 small's shape, on 16 pairs of prompts of 16 tokens, of which three differ,
in float32, on a GPU if there is one. Every measurement is made between two plain forwards. Its cost is the
median of its ratios to the faster of the two, so that other load on the machine affects both alike. Each
bench has a process of its own. Its peak memory is that above the loaded Hugging Face model, with our copies
of the weights.

Benches that need other packages (the dashboard's) are entry points of the group `circuit_explorer.benches`:
context managers that yield a function which does the work once. They use no model; their peak is that of the
process, or of the largest process that it started.
"""

import gc
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import torch
from tokenizers import Tokenizer, models
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel, PreTrainedTokenizerFast

from engine.bench import circuits, passes
from engine.errors import unknown_name
from engine.forward.batch import Batch
from engine.forward.masked import MaskedForward, Replacement
from engine.instruments.base import in_order
from engine.models.load import model_from_network
from engine.progress import Report
from engine.tensors import seed_globally
from engine.workbench.memory import memory_mb, most_mb
from engine.workbench.workload import Bench, Sample, Workload

PAIRS, LENGTH = 16, 16
DIFFERING = (3, 5, 11)  # positions: three names in a sentence
REPEATS = 9


@cache
def benches() -> dict[str, Bench]:
    """Return the benches that run a model, by name: passes and circuits first, then those of instruments."""
    by_name = passes.BENCHES | circuits.BENCHES
    for instrument in in_order():
        by_name |= instrument.benches()
    return by_name


def page_benches() -> dict[str, EntryPoint]:
    """Return the benches of other packages, by name."""
    return {entry.name: entry for entry in entry_points(group="circuit_explorer.benches")}


def run_bench(only: Sequence[str], report: Report) -> dict[str, Any]:
    """Run the benches named in `only`, or all, and return the table.

    Returns:
        {"unit_seconds": F, "rows": [{"name", "f_units", "seconds", "peak_mb"}], "device", "threads"}

    Raises:
        RequestError: there is no such bench.
    """
    known = [*benches(), *page_benches()]
    for name in only:
        if name not in known:
            raise unknown_name("bench", name, known)
    chosen = list(only) or known
    rows: list[dict[str, Any]] = []
    units: list[float] = []
    for done, name in enumerate(chosen):
        report(done, len(chosen), name)
        with multiprocessing.get_context("spawn").Pool(1) as process:
            row, unit = process.apply(measure, (name,))
        rows.append(row)
        units.append(unit)
    report(len(chosen), len(chosen), "done")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    unit = statistics.median(units)
    return {"unit_seconds": unit, "rows": rows, "device": device, "threads": torch.get_num_threads()}


def measure(name: str) -> tuple[dict[str, Any], float]:
    """Return the row of one bench, and the median seconds of the plain forward beside it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    seed_globally(0)
    plain, tokens = _network(device), _tokens()[0].to(device)
    with _prepared(name, device) as (once, peak), torch.no_grad():
        unit = partial(plain, tokens)
        unit()
        seconds: list[float] = []
        units: list[float] = []
        ratios: list[float] = []
        weight = once.weight if isinstance(once, Sample) else 1.0
        for _ in range(REPEATS):
            before = _time(unit, device)
            with torch.enable_grad():
                seconds.append(weight * _time(once, device))
            units.append(min(before, _time(unit, device)))
            ratios.append(seconds[-1] / units[-1])
    row: dict[str, Any] = {
        "name": name,
        "f_units": round(statistics.median(ratios), 3),
        "seconds": round(statistics.median(seconds), 4),
        "peak_mb": round(peak),
    }
    return row, statistics.median(units)


@contextmanager
def _prepared(name: str, device: torch.device) -> Generator[tuple[Callable[[], object], float]]:
    """Yield a bench's function, called once already, and its peak memory in megabytes."""
    if name in benches():
        network = _network(device)
        gc.collect()
        loaded = memory_mb(device, reset=True)
        once = benches()[name](_workload(network, device))
        once()
        yield once, memory_mb(device, peak=True) - loaded
        return
    bench: Callable[[], AbstractContextManager[Callable[[], object]]] = page_benches()[name].load()
    memory = torch.device("cpu")
    loaded = memory_mb(memory, reset=True)
    with bench() as once:
        once()
        yield once, max(memory_mb(memory, peak=True) - loaded, most_mb(resource.RUSAGE_CHILDREN))


def _network(device: torch.device) -> GPT2LMHeadModel:
    network = GPT2LMHeadModel(GPT2Config()).eval()
    nn.Module.to(network, device)
    return network


def _tokens() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the clean and corrupt prompts, two of [PAIRS, LENGTH]."""
    vocabulary, generator = GPT2Config().vocab_size, torch.Generator().manual_seed(0)
    clean = torch.randint(0, vocabulary, (PAIRS, LENGTH), generator=generator)
    corrupt = clean.clone()
    for position in DIFFERING:
        corrupt[:, position] = torch.randint(0, vocabulary, (PAIRS,), generator=generator)
    return clean, corrupt


def _workload(network: PreTrainedModel, device: torch.device) -> Workload:
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="a")
    model = model_from_network("gpt2-small-random", network, tokenizer, "", device)
    clean, corrupt = _tokens()
    run = partial(model.transformer.run, start=min(DIFFERING))
    answers = [[int(i)] for i in clean[:, 0]]
    wrong_answers = [[int(i)] for i in corrupt[:, min(DIFFERING)]]

    def prepare(pairs: int) -> Batch:
        values = Replacement.from_run(run(corrupt[:pairs].to(device)))
        plain = run(clean[:pairs].to(device)).without_sources()
        return Batch(plain, values, answers[:pairs], wrong_answers[:pairs])

    return Workload(model, MaskedForward(model.transformer, model.shape.graph()), prepare(PAIRS), prepare)


def _time(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
