"""The benchmark table has its form, on a small model so that nothing here is about time."""

import json

import pytest
from transformers import GPT2Config

from engine.bench import table as bench
from engine.errors import RequestError


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    config = GPT2Config(vocab_size=97, n_embd=24, n_layer=2, n_head=4, n_positions=32)
    monkeypatch.setattr(bench, "GPT2Config", lambda: config)
    monkeypatch.setattr(bench, "REPEATS", 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", bench.benches())
def test_a_row_has_name_ratio_seconds_and_memory(name: str) -> None:
    row, unit = bench.measure(name)
    assert row["name"] == name
    assert set(row) == {"name", "f_units", "seconds", "peak_mb"}
    assert min(row["f_units"], row["seconds"], unit) > 0
    json.dumps(row)


def test_an_unknown_bench_names_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"unknown bench 'masked': did you mean 'masked-forward'\?"):
        bench.run_bench(["masked"], lambda done, total, message: None)


def test_the_dashboard_s_benches_are_found() -> None:
    of_the_demo_model = {"slider-to-picture-demo", "open-run-demo", "first-page"}
    of_a_large_one = {"figure-300-edges", "slider-to-picture", "open-run"}
    assert set(bench.page_benches()) == of_the_demo_model | of_a_large_one
