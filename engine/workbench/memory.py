"""Estimates of the memory that work needs, errors if it does not fit, and measurement of memory used."""

import resource
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from engine.circuits.graph import Graph
from engine.errors import OutOfMemoryError
from engine.models import Model, ModelShape
from engine.tasks.dataset import Prompts
from engine.workbench.evaluation import EVALUATION_BATCH

ADVICE = "lower --n-prompts or the method's batch_size, take shorter prompts, or a smaller model"


def forward_bytes(graph: Graph, shape: ModelShape, tokens: int, itemsize: int) -> int:
    """Return the memory of the masked forward and its gradient for a batch of `tokens` tokens, in bytes."""
    readers = 3 * shape.n_heads + 1
    streams = 2 * len(graph.sources) + (shape.n_layers + 1) * readers
    return streams * tokens * shape.d_model * itemsize


def cache_bytes(shape: ModelShape, tokens: int, itemsize: int) -> int:
    """Return the memory of prepared batches of `tokens` tokens in total, in bytes."""
    per_layer = 2 * shape.d_model + shape.n_heads * shape.d_head
    return shape.n_layers * per_layer * tokens * itemsize


def check_memory(model: Model, graph: Graph, settings: Mapping[str, Any], prompts: Prompts) -> int:
    """Return the estimated memory that the work needs besides the model, in bytes, if so much is free.

    Args:
        settings: settings of a method; "batch_size" and "samples" (masks per prompt) are used.
        prompts: the training prompts.

    Raises:
        OutOfMemoryError: less is free; the message has the estimate and says what to lower.
    """
    itemsize, longest = model.dtype.itemsize, max(len(item.clean_ids) for item in prompts.items)
    batch = min(int(settings.get("batch_size", 16)), len(prompts.items))
    batch *= int(settings.get("samples", 1))  # masks for every prompt, each a row of its own
    needed = forward_bytes(graph, model.shape, max(batch, EVALUATION_BATCH) * longest, itemsize)
    needed += cache_bytes(model.shape, 2 * sum(len(item.clean_ids) for item in prompts.items), itemsize)
    # Logits of every prompt: the teacher's in training and evaluation, the circuit's, and a copy to compare.
    needed += 4 * len(prompts.items) * model.shape.d_vocab * max(itemsize, 4)
    free = _free(model.device)
    if needed > free:
        raise OutOfMemoryError(
            f"about {needed / 1e9:.1f} GB are needed on {model.device} beside the model, "
            f"{free / 1e9:.1f} GB are free: {ADVICE}"
        )
    return needed


@dataclass
class Estimate:
    """The estimated memory besides the model, in bytes; 0 until it is known."""

    needed: int = 0


@contextmanager
def memory_errors(model: str) -> Generator[Estimate]:
    """Turn a failed allocation into an error of one line that says what to lower.

    Raises:
        OutOfMemoryError: an allocation failed inside.
    """
    estimate = Estimate()
    try:
        yield estimate
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "alloc" not in str(error):
            raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        first = (str(error).splitlines() or ["allocation failed"])[0]
        expected = f"; about {estimate.needed / 1e9:.1f} GB were expected" if estimate.needed else ""
        raise OutOfMemoryError(
            f"out of memory while working on '{model}' ({first}{expected}): {ADVICE}"
        ) from error


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def memory_mb(device: torch.device, reset: bool = False, peak: bool = False) -> float:
    """Return the memory in use on a device, or at its peak since the last reset, in megabytes."""
    if device.type == "cuda":
        if reset:
            torch.cuda.reset_peak_memory_stats()
        return (torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()) / 1e6
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # only Linux tells the present and resets the peak, and not in every container
        return most_mb(resource.RUSAGE_SELF)
    field = "VmHWM:" if peak else "VmRSS:"
    sizes = [int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(field)]
    return sizes[0] if sizes else most_mb(resource.RUSAGE_SELF)


def most_mb(who: int) -> float:
    """Return the peak memory of this process, or of the largest process it started, in megabytes."""
    return resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
