"""Names of nodes and edges for people."""

from app.figures.style import KIND_NAMES


def short_label(node: str) -> str:
    """Return the text inside a node's mark: "2.5" for a2.h5, "m0" for m0."""
    return node[1:].replace(".h", ".") if node.startswith("a") else node


def node_role(node: str) -> str:
    """Return the description of a node, e.g. "head 5 of layer 2"."""
    if node == "input":
        return "token and position embedding"
    if node == "logits":
        return "the model's output"
    if node.startswith("m"):
        return f"MLP of layer {node[1:]}"
    layer, head = node[1:].split(".h")
    return f"head {head} of layer {layer}"


def edge_label(name: str) -> str:
    """Return an edge's name for people, "a0.h1 → a2.h3 (query)"; a node's name stays as it is."""
    if "->" not in name:
        return name
    source, reader = name.split("->")
    if reader.endswith(">"):
        return f"{source} → {reader[:-3]} ({KIND_NAMES[reader[-2]]})"
    return f"{source} → {reader}"
