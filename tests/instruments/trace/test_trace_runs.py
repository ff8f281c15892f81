"""Runs of traces are checked when they are opened: they may come from anywhere."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from engine.errors import RequestError
from engine.runs.store import RunStore
from tests.altered import alter
from tests.app.fake_trace import write_trace


def _empty(of_class: dict[str, Any]) -> None:
    """Take every effect of a class away."""
    for row in of_class["effects"].values():
        row[:] = [None] * len(row)


@pytest.mark.parametrize("own", [True, False])
def test_traces_are_written_and_read(store: RunStore, own: bool) -> None:
    """Whole, and found among the runs."""
    run = store.get(write_trace(store, own=own))
    assert [one.run_id for one in store.list()] == [run.run_id]
    assert run.tensors["effects"].ndim == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r["clean"].pop("probability"), "has no 'probability'"),
        (lambda r: r["traced"][0].update(subject=[3, 99]), "do not fit its tokens"),
        (lambda r: r["traced"][0]["tokens"].pop(), "do not fit its tokens"),
        (lambda r: r["classes"]["last"]["share"].pop(), "different lengths"),
        (lambda r: r["classes"].pop("last"), "its classes of tokens are not first subject"),
        (lambda r: r["classes"].update(next=r["classes"].pop("next")), "in this order"),
        (lambda r: r["classes"].update(other=r["classes"]["last"]), "classes"),
        (lambda r: r["traced"][0]["classes"].__setitem__(-1, "other"), "classes"),
        (lambda r: r["traced"].pop(), "where [11, "),
        (lambda r: r["classes"]["next"]["effects"]["probability"].pop(), "different lengths"),
        (lambda r: r.update(classes={}), "or the other way round"),
        (lambda r: r.update(n_heads=0), "n_heads"),
        (lambda r: [_empty(one) for one in r["classes"].values()], "no class of tokens has effects"),
        (lambda r: r.pop("classes"), "classes"),
    ],
)
def test_altered_traces_are_refused(
    store: RunStore, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    """In one line that names the fault."""
    folder = store.get(write_trace(store, own=False)).folder
    alter(folder, change)
    with pytest.raises(RequestError) as error:
        store.get(folder)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("effects", np.zeros((3, 3), dtype=np.float32), "four dimensions"),
        ("effects", np.zeros((7, 4, 3, 2), dtype=np.float32), "is expected"),
        ("effects", np.zeros((9, 4, 3, 3), dtype=np.float32), "is expected"),
        ("restored", np.zeros((7, 4, 2, 3), dtype=np.float32), "is expected"),
        ("effects", np.zeros((7, 4, 3, 3), dtype=np.int32), "floats are expected"),
    ],
)
def test_altered_arrays_are_refused(store: RunStore, name: str, array: np.ndarray, says: str) -> None:
    """Of another shape or type than the result says."""
    folder = store.get(write_trace(store)).folder
    arrays = load_file(folder / "tensors.safetensors")
    save_file({**arrays, name: array}, folder / "tensors.safetensors")
    with pytest.raises(RequestError) as error:
        store.get(folder)
    assert says in str(error.value)


def test_heads_have_as_many_columns_as_there_are(store: RunStore) -> None:
    """A picture has a row a layer and a column a head."""
    folder = store.get(write_trace(store, state="head", own=False)).folder
    alter(folder, lambda result: result.update(n_heads=3))
    with pytest.raises(RequestError, match="8 columns for 3 heads"):
        store.get(folder)


def test_heads_of_a_prompt_fill_whole_layers(store: RunStore) -> None:
    """As those of a task."""
    folder = store.get(write_trace(store, state="head")).folder
    alter(folder, lambda result: result.update(n_heads=3))
    with pytest.raises(RequestError, match="8 columns for 3 heads"):
        store.get(folder)
