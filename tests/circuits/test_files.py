"""Circuit files: what is written is read again, foreign ones too, and broken ones say what is wrong."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.circuits.circuit import Circuit, UnknownGraphError, circuit_to_json, top_edges
from engine.circuits.files import LARGEST, read_circuit_file
from engine.circuits.graph import Graph
from engine.errors import RequestError
from engine.runs.export import to_csv, to_graphml, to_json
from engine.runs.store import RunStore
from tests.app.fake_run import write_fake_run

GRAPH = Graph(3, 2)
ABOUT = {"model": "m", "task": "ioi", "method": "edge-pruning", "ablation": "zero"}


def circuit(graph: Graph = GRAPH) -> Circuit:
    scores = np.random.default_rng(1).normal(size=graph.n_edges)
    return top_edges(graph, scores, 40, ABOUT)


def same_circuit(back: Circuit, expected: Circuit) -> None:
    assert back.graph == expected.graph
    assert (back.kept == expected.kept).all()
    np.testing.assert_allclose(back.scores[back.kept], expected.scores[expected.kept])


@pytest.mark.parametrize("qkv", ["split", "merged"])
@pytest.mark.parametrize("write", [to_json, to_graphml, to_csv])
def test_every_export_is_read_again(tmp_path: Path, write: Any, qkv: Any):
    store = RunStore(tmp_path)
    run = store.get(write_fake_run(store, Graph(4, 8, qkv), sizes=(30,), size=30, qkv=qkv))
    expected = run.circuit_at(30)
    name = f"x.{write.__name__.removeprefix('to_').upper()}"
    back = read_circuit_file(name, write(run, expected).encode())
    same_circuit(back, expected)
    if write is not to_csv:
        assert back.about == expected.about


def eap_ig(**cfg: Any) -> dict[str, Any]:
    """A file as `Graph.to_json` of EAP-IG 0.3 writes it: all edges, shape in "cfg", nan for node scores."""
    edges = {
        name: {"score": float(score), "in_graph": bool(kept)}
        for name, score, kept in zip(GRAPH.edge_names, circuit().scores, circuit().kept, strict=True)
    }
    shape = {"n_layers": 3, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 24}
    nodes = {name: {"in_graph": True, "score": float("nan")} for name in GRAPH.nodes}
    return {"cfg": shape | cfg, "nodes": nodes, "edges": edges}


def edge_pruning(names: list[str]) -> list[list[str]]:
    """Edges as Edge Pruning's `get_edges` lists them."""
    renamed = {"input": "tok_embeds", "logits": "resid_post"}
    pairs = [name.split("->") for name in names]
    readers = [reader.replace("<", ".").replace(">", "") for _, reader in pairs]
    return [
        [renamed.get(writer, writer), renamed.get(reader, reader)]
        for (writer, _), reader in zip(pairs, readers, strict=True)
    ]


def test_edges_of_edge_pruning_are_read():
    kept = [name for name, one in zip(GRAPH.edge_names, circuit().kept, strict=True) if one]
    assert any(name.startswith("input->") for name in kept)
    # Edges of position embeddings, and within heads, which have no counterpart here.
    more = [["pos_embeds", "a0.h1.q"], ["a1.h0.k", "a1.h0"]]
    listed = json.dumps(edge_pruning(kept) + more).encode()
    with pytest.raises(UnknownGraphError):
        read_circuit_file("edges.json", listed)
    for graph in (GRAPH, Graph(3, 2, "merged")):
        back = read_circuit_file("edges.json", listed, graph)
        assert back.graph == GRAPH
        assert (back.kept == circuit().kept).all()
        assert np.isnan(back.scores).all()
        assert back.about == {"model": None, "task": None, "ablation": None, "method": "edge-pruning"}


def test_without_embeddings_among_the_writers_they_reach_every_reader():
    kept = [name for name, one in zip(GRAPH.edge_names, circuit().kept, strict=True) if one]
    inner = [name for name in kept if not name.startswith("input->")]
    back = read_circuit_file("edges.json", json.dumps(edge_pruning(inner)).encode(), GRAPH)
    names = {name for name, one in zip(GRAPH.edge_names, back.kept, strict=True) if one}
    assert names == {*inner, *(name for name in GRAPH.edge_names if name.startswith("input->"))}


@pytest.mark.parametrize(
    "content", [[], [["a0.h1"]], [1], [["a0.h1", 3]], [["nothing", "m1"]], [["m2", "m0"]]]
)
def test_a_list_that_is_none_of_edges_is_refused(content: list[Any]):
    with pytest.raises(RequestError, match=r"^'edges.json': "):
        read_circuit_file("edges.json", json.dumps(content).encode(), GRAPH)


@pytest.mark.parametrize("name", ["circuit.pt", "circuit.PTH", "circuit.pkl"])
def test_pickle_stays_unopened_and_the_way_out_is_told(name: str):
    with pytest.raises(RequestError, match=r"is pickle.*not opened.*graph\.to_json\('circuit.json'\)"):
        read_circuit_file(name, pickle.dumps({"a": 1}), GRAPH)


def test_a_file_of_eap_ig_is_read():
    same_circuit(read_circuit_file("graph.json", json.dumps(eap_ig()).encode()), circuit())
    serial = read_circuit_file("graph.json", json.dumps(eap_ig()).encode())
    assert np.isfinite(serial.scores).all()
    content = eap_ig(parallel_attn_mlp=True)
    with pytest.raises(RequestError, match=r"no edge 'a0\.h0->m0'"):
        read_circuit_file("graph.json", json.dumps(content).encode())


def test_a_circuit_of_neurons_is_refused():
    content = eap_ig()
    content["nodes"]["m0"]["neurons"] = [True, False]
    with pytest.raises(RequestError, match="some neurons of a node"):
        read_circuit_file("graph.json", json.dumps(content).encode())
    content["nodes"]["m0"]["neurons"] = [True, True]
    same_circuit(read_circuit_file("graph.json", json.dumps(content).encode()), circuit())


def test_a_list_of_edges_needs_the_graph_of_its_model():
    few = b"edge\ninput->m0\nm0->logits\n"
    with pytest.raises(UnknownGraphError, match=r"'few.csv'.*which graph"):
        read_circuit_file("few.csv", few)
    read = read_circuit_file("few.csv", few, GRAPH)
    assert read.n_edges == 2
    assert np.isnan(read.scores).all()
    bare = json.dumps({"edges": {"input->m0": {}, "m0->logits": {"in_graph": True}}}).encode()
    with pytest.raises(UnknownGraphError):
        read_circuit_file("bare.json", bare)
    assert (read_circuit_file("bare.json", bare, GRAPH).kept == read.kept).all()


def test_the_names_of_edges_tell_whether_the_inputs_of_heads_are_merged():
    merged = read_circuit_file("x.csv", b"edge\ninput->a1.h0\na1.h0->logits\n", GRAPH)
    assert merged.graph == Graph(3, 2, "merged")
    split = read_circuit_file("x.csv", b"edge\ninput->a1.h0<v>\na1.h0->logits\n", Graph(3, 2, "merged"))
    assert split.graph == GRAPH


def test_the_columns_of_a_csv():
    rows = b"\xef\xbb\xbfin_graph,edge,score\r\nTrue,input->m0,1.5\r\n0,m0->logits,\r\nyes,m1->logits,nan\r\n"
    read = read_circuit_file("x.csv", rows, GRAPH)
    place = GRAPH.indices(["input->m0", "m0->logits", "m1->logits"])
    assert read.kept[place].tolist() == [True, False, True]
    assert read.scores[place[0]] == 1.5
    assert np.isnan(read.scores[place[1:]]).all()


OURS = {"n_layers": 2, "n_heads": 2}
BROKEN_JSON: list[tuple[Any, str]] = [
    ([], "a JSON object with an object 'edges' is needed"),
    ({"edges": []}, "a JSON object with an object 'edges' is needed"),
    ({"edges": {}, "schema": 2}, "schema 2; this version reads schema 1"),
    ({"edges": {}}, "does not say which graph"),
    ({"edges": {}, "model": {"n_layers": 2}}, "'n_layers' and 'n_heads'"),
    ({"edges": {}, "model": {"n_layers": True, "n_heads": 2}}, "'n_layers' and 'n_heads'"),
    ({"edges": {}, "model": {"n_layers": 10**9, "n_heads": 2}}, "larger than can be opened"),
    ({"edges": {}, "cfg": {"n_layers": 10**9, "n_heads": 2}}, "larger than can be opened"),
    ({"edges": {}, "model": {"n_layers": 0, "n_heads": 2}}, "whole numbers from 1 on"),
    ({"edges": {}, "model": OURS, "qkv": "x"}, "'split' or 'merged'"),
    ({"edges": {}, "model": OURS, "qkv": ["split"]}, "'split' or 'merged'"),
    ({"edges": {}, "model": OURS, "n_edges_total": 3}, "says its graph has 3 edges"),
    ({"edges": {}, "model": OURS | {"id": ["x"]}}, "model is not a name"),
    ({"edges": {}, "model": OURS, "task": 3}, "task is not a name"),
    ({"edges": {"m0->x": {}}, "model": OURS}, "no edge 'm0->x'"),
    ({"edges": {"m0->m1": 3}, "model": OURS}, "'m0->m1' is no object"),
    ({"edges": {"m0->m1": {"score": "x"}}, "model": OURS}, "no number: 'x'"),
    ({"edges": {"m0->m1": {"score": float("inf")}}, "model": OURS}, "no number: 'inf'"),
    ({"edges": {"m0->m1": {"score": 10**400}}, "model": OURS}, "no number: '1000"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN_JSON)
def test_a_broken_circuit_says_what_is_wrong(content: Any, message: str):
    with pytest.raises(RequestError, match=message) as error:
        read_circuit_file("broken.json", json.dumps(content).encode())
    assert "'broken.json'" in str(error.value)
    assert "\n" not in str(error.value)


def graphml(edges: str = "", data: str = "", head: str = "") -> bytes:
    sizes = '<data key="d0">2</data><data key="d1">2</data>'
    keys = "".join(
        f'<key id="{key}" for="{kind}" attr.name="{name}" attr.type="string"/>'
        for key, kind, name in (
            ("d0", "graph", "n_layers"),
            ("d1", "graph", "n_heads"),
            ("s", "edge", "score"),
        )
    )
    space = 'xmlns="http://graphml.graphdrawing.org/xmlns"'
    drawn = f"<graph>{data or sizes}{edges}</graph>"
    return f"<?xml version='1.0'?>{head}<graphml {space}>{keys}{drawn}</graphml>".encode()


EDGE = '<edge id="m0-&gt;m1" source="m0" target="m1"><data key="s">{}</data></edge>'
LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
BROKEN: list[tuple[str, bytes, str]] = [
    ("x.pt", pickle.dumps({}), "is pickle, which could run any code"),
    ("x.txt", b"x", r"name ends in \.json, \.graphml, \.csv"),
    ("x", b"", "name ends in"),
    ("x.json", b"\x80\x04pickle", "'x.json' cannot be read: it is no JSON"),
    ("x.json", b'{"edges": {', "it is no JSON"),
    ("x.json", b"[" * 200_000, "nested too deep"),
    ("x.json", b'{"edges": {}, "task": "\\ud800"}', "it is no JSON"),
    ("x.json", b" " * (LARGEST + 1), "more than 64 MiB"),
    ("x.graphml", b"{}", "it is no XML"),
    ("x.graphml", b"\xff\xfe<\x00", "it is no GRAPHML"),
    ("x.graphml", b"<html/>", "no GraphML with a graph"),
    ("x.graphml", graphml(), "it has no edges"),
    ("x.graphml", graphml(EDGE.format("x")), "a score that is no number: 'x'"),
    ("x.graphml", graphml(EDGE.format("inf")), "a score that is no number"),
    ("x.graphml", graphml(EDGE.format(1), head=LAUGHS), "DOCTYPE or an ENTITY"),
    ("x.graphml", graphml(EDGE.format(1), head="<!doctype x SYSTEM 'file:///x'>"), "DOCTYPE or an ENTITY"),
    ("x.graphml", graphml(EDGE.format(1), '<data key="d0">²</data><data key="d1">2</data>'), "whole numbers"),
    (
        "x.graphml",
        graphml(EDGE.format(1), '<data key="d0">99999</data><data key="d1">2</data>'),
        "larger than",
    ),
    ("x.graphml", graphml(EDGE.format(1).replace("m1", "m7")), "no edge 'm0->m7'"),
    ("x.csv", b"", "first line must name the columns"),
    ("x.csv", b"name,score\n", "first line must name the columns"),
    ("x.csv", b"edge\n", "it has no edges"),
    ("x.csv", b"edge,in_graph\ninput->m0,perhaps\n", "line 2: in_graph is 'perhaps'"),
    ("x.csv", b"edge\ninput->m0\ninput->m0\n", "line 3: edge 'input->m0' is listed twice"),
    ("x.csv", b"edge,score\ninput->m0,high\n", "no number: 'high'"),
    ("x.csv", b"edge,score\ninput->m0," + b"9" * 200_000, "is no CSV"),
    ("x.csv", b"edge\ninput->m9999999\n", "larger than can be opened"),
]


@pytest.mark.parametrize(("name", "data", "message"), BROKEN)
def test_a_broken_file_is_told_in_one_line(name: str, data: bytes, message: str):
    with pytest.raises(RequestError, match=message) as error:
        read_circuit_file(name, data)
    assert f"'{name}'" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_ranking_keeps_scores_of_edges_outside_the_circuit():
    content = json.dumps(circuit_to_json(circuit(), 24, ranking=True)).encode()
    read = read_circuit_file("ranking.json", content)
    same_circuit(read, circuit())
    np.testing.assert_allclose(read.scores, circuit().scores)
