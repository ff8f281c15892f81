"""Reading circuit files, ours and those of other programs. Files are not trusted.

.json       our circuit.json; files of EAP-IG (Hanna et al. 2024), of the MIB benchmark's circuit track, and
            Edge Pruning's edges.json (Bhaskar et al. 2024)
.graphml    our export for Gephi, yEd and networkx
.csv        columns edge, score, in_graph, as in our export; the first alone is enough

Nothing is ever unpickled. For a file that does not name its graph, the graph of its model must be given.
"""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from engine.circuits.circuit import (
    Circuit,
    UnknownGraphError,
    circuit_from_json,
    circuit_of_edges,
    graph_of_sizes,
)
from engine.circuits.graph import Graph, Qkv
from engine.errors import RequestError
from engine.files import is_list, is_object, parse_json

LARGEST = 64 * 2**20  # bytes; a circuit.json with every edge of a 32,491-edge graph has about 2 MiB
_LONGEST_NUMBER = 12  # digits of a layer or a head, more than enough
_NODE = re.compile(r"a(\d{1,12})\.h(\d{1,12})(<[qkv]>)?|m(\d{1,12})")
_INPUT = re.compile(r"(a\d{1,12}\.h\d{1,12})\.([qkv])")  # of a head, as Edge Pruning calls it
_EMBEDDINGS = {"embeds", "tok_embeds", "pos_embeds"}
_PICKLED = {".pt", ".pth", ".pkl", ".pickle", ".bin"}
_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no"}


def read_circuit_file(name: str, data: bytes, graph: Graph | None = None) -> Circuit:
    """Return the circuit in a file.

    Args:
        name: name of the file, whose ending gives the format.
        data: content of the file.
        graph: graph of the circuit's model, used if the file does not name its graph.

    Raises:
        RequestError: unknown format, too large a file, or no circuit; the message says what is wrong.
        UnknownGraphError: the file does not name its graph, and `graph` is None.
    """
    ending = Path(name).suffix.lower()
    if ending in _PICKLED:
        raise RequestError(
            f"'{name}' is pickle, which could run any code, and is not opened: where it was made, write it "
            "as JSON, with EAP-IG by graph.to_json('circuit.json')"
        )
    if ending not in _READERS:
        raise RequestError(
            f"'{name}' is no circuit file: its name ends in {', '.join(ENDINGS)}; nothing else is opened"
        )
    if len(data) > LARGEST:
        raise RequestError(f"'{name}' has more than {LARGEST // 2**20} MiB; no circuit is that large")
    try:
        return _READERS[ending](data, graph)
    except ValueError as error:  # decoding and JSON
        raise RequestError(f"'{name}' cannot be read: it is no {ending[1:].upper()} ({error})") from error
    except UnknownGraphError as error:
        raise UnknownGraphError(f"'{name}': {error}") from error
    except RequestError as error:
        raise RequestError(f"'{name}': {error}") from error


def _json(data: bytes, graph: Graph | None) -> Circuit:
    content = parse_json(data)
    if is_list(content):
        return _edge_list(content, graph)
    if is_object(content) and is_object(nodes := content.get("nodes")):
        for node in nodes.values():
            neurons = node.get("neurons") if is_object(node) else None
            if is_list(neurons) and not all(neurons):
                raise RequestError("it keeps some neurons of a node; here a circuit is made of whole edges")
    edges = content.get("edges") if is_object(content) else None
    return circuit_from_json(content, _fitted(graph, edges) if is_object(edges) else graph)


def _edge_list(content: list[Any], graph: Graph | None) -> Circuit:
    """Return the circuit in Edge Pruning's edges.json, a list of [writer, reader].

    Its names are ours but for a3.h2.q and resid_post. The embeddings of tokens and of positions are writers
    of their own; the latter are the same in clean and corrupt runs, so their edges change nothing. If neither
    is a writer, both always reach every reader. An edge from a head's q, k or v input to the head is dropped.

    Raises:
        RequestError: it is no list of pairs of nodes of the graph.
        UnknownGraphError: the graph is not given.
    """
    if not content:
        raise RequestError("a JSON object with an object 'edges' is needed, or Edge Pruning's list of edges")
    pairs: list[tuple[str, str]] = []
    for item in content:
        if not (is_list(item) and len(item) == 2 and all(isinstance(name, str) for name in item)):
            raise RequestError('it is a list, but not of pairs of nodes such as ["a0.h1", "a3.h2.q"]')
        pairs.append((item[0], item[1]))
    if graph is None:
        raise UnknownGraphError("the file does not say which graph it is of")
    edges: dict[str, tuple[float | None, bool]] = {}
    for writer, reader in pairs:
        if writer != "pos_embeds" and not _INPUT.fullmatch(writer):
            source = "input" if writer in _EMBEDDINGS else writer
            target = "logits" if reader == "resid_post" else _INPUT.sub(r"\1<\2>", reader)
            edges[f"{source}->{target}"] = None, True
    if not any(writer in _EMBEDDINGS for writer, _ in pairs):
        whole = replace(graph, qkv="split")
        edges |= {name: (None, True) for name in whole.edge_names if name.startswith("input->")}
    about = dict.fromkeys(("model", "task", "ablation"))
    return _circuit(edges, graph, about | {"method": "edge-pruning"})


def _graphml(data: bytes, graph: Graph | None) -> Circuit:
    text = data.decode("utf-8")
    # Entities can blow a small file up to any size, and may name other files: no GraphML needs them.
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise RequestError("it has a DOCTYPE or an ENTITY, which no circuit needs; it is not opened")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise RequestError(f"it is no XML: {error}") from error
    if root.tag.split("}")[-1] != "graphml" or (drawn := root.find("{*}graph")) is None:
        raise RequestError("it is no GraphML with a graph")
    names = {key.get("id"): key.get("attr.name") for key in root.iterfind("{*}key")}

    def values(element: ElementTree.Element) -> dict[str | None, str]:
        return {names.get(part.get("key")): part.text or "" for part in element.iterfind("{*}data")}

    edges: dict[str, tuple[float | None, bool]] = {}
    for edge in drawn.iterfind("{*}edge"):
        texts = values(edge)
        name = texts.get("name") or edge.get("id") or ""
        edges[name] = _number(name, texts.get("score", "")), True
    about = values(drawn)
    if {"n_layers", "n_heads"} <= about.keys():
        n_layers, n_heads = _whole(about["n_layers"]), _whole(about["n_heads"])
        qkv: Qkv = "merged" if about.get("qkv") == "merged" else "split"
        graph = graph_of_sizes(n_layers, n_heads, qkv, about.get("parallel", "").lower() in _TRUE)
    return _circuit(edges, graph, {key: about.get(key) for key in ("model", "task", "method", "ablation")})


def _csv(data: bytes, graph: Graph | None) -> Circuit:
    rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    edges: dict[str, tuple[float | None, bool]] = {}
    try:
        if "edge" not in (rows.fieldnames or ()):
            raise RequestError("its first line must name the columns: edge, score, in_graph")
        for row in rows:
            name = (row["edge"] or "").strip()
            kept = (row.get("in_graph") or "true").strip().lower()
            if kept not in _TRUE | _FALSE:
                raise RequestError(f"line {rows.line_num}: in_graph is {kept[:80]!r}, not true or false")
            if name in edges:
                raise RequestError(f"line {rows.line_num}: edge '{name[:80]}' is listed twice")
            edges[name] = _number(name, row.get("score") or ""), kept in _TRUE
    except csv.Error as error:
        raise RequestError(f"line {rows.line_num} is no CSV: {error}") from error
    return _circuit(edges, graph, dict.fromkeys(("model", "task", "method", "ablation")))


_READERS: dict[str, Callable[[bytes, Graph | None], Circuit]] = {
    ".json": _json,
    ".graphml": _graphml,
    ".csv": _csv,
}
ENDINGS = tuple(_READERS)


def _circuit(
    edges: dict[str, tuple[float | None, bool]], graph: Graph | None, about: dict[str, Any]
) -> Circuit:
    if not edges:
        raise RequestError("it has no edges")
    if (fitted := _fitted(graph, edges) or _told(edges)) is None:
        raise UnknownGraphError("the file does not say which graph it is of")
    return circuit_of_edges(fitted, edges, about)


def _fitted(graph: Graph | None, edges: dict[str, Any]) -> Graph | None:
    """Return the graph with the heads' inputs merged or split, as in the names of the edges."""
    if graph is None:
        return None
    readers = [name.split("->")[-1] for name in edges]
    if any(reader.endswith(">") for reader in readers):
        return replace(graph, qkv="split")
    return replace(graph, qkv="merged") if any(reader.startswith("a") for reader in readers) else graph


def _told(edges: dict[str, Any]) -> Graph | None:
    """Return the graph that has exactly these edges, as in our own export; None if edges are missing."""
    layers, heads, split = [0], [0], False
    for name in edges:
        for node in name.split("->"):
            if match := _NODE.fullmatch(node):
                layer, head, reader, mlp = match.groups()
                layers.append(int(layer or mlp))
                heads.append(int(head or 0))
                split = split or reader is not None
    parallel = "a0.h0->m0" not in edges
    graph = graph_of_sizes(max(layers) + 1, max(heads) + 1, "split" if split else "merged", parallel)
    return graph if graph.n_edges == len(edges) else None


def _number(edge: str, text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError as error:
        raise RequestError(f"edge '{edge[:80]}' has a score that is no number: {text[:80]!r}") from error


def _whole(text: str) -> int:
    if not (text.isdecimal() and len(text) <= _LONGEST_NUMBER and int(text) >= 1):
        raise RequestError("'n_layers' and 'n_heads' are whole numbers from 1 on")
    return int(text)
