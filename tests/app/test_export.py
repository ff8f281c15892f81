"""A circuit as one HTML file."""

import re

import numpy as np

from app.export import to_html
from engine.runs.export import exporter
from engine.runs.store import RunStore
from tests.app.fake_run import write_fake_run


def test_the_page_is_whole_and_says_where_it_comes_from(tmp_path):
    store = RunStore(tmp_path / "runs", tmp_path)
    run = store.get(write_fake_run(store, task=str(tmp_path / "<b>mine.jsonl")))
    circuit = run.circuit_at(300)
    html = to_html(run, circuit)
    assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", html) == []
    assert len(html) > 3_000_000  # plotly.js is inside
    assert f"{circuit.n_edges:,} of 1,519 edges" in html
    assert run.run_id in html
    assert "Circuit for &lt;b&gt;mine.jsonl in explorer-4l" in html
    assert str(tmp_path) not in html
    for name in np.array(circuit.graph.edge_names)[circuit.kept][:5]:
        assert name.replace(">", "&gt;").replace("<", "&lt;") in html


def test_the_command_line_finds_it():
    assert exporter("html") is to_html
