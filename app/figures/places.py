"""Fixed coordinates of nodes in the figure of the circuit graph, and the curves of edges.

A node has the same place in every run of a model, at every size of circuit: x is the head's index, y the
layer, MLPs have a column of their own on the right. Coordinates computed from the circuit itself would
jump with every edge and make two circuits incomparable.
"""

import numpy as np

from engine.circuits.graph import Graph, reader_kind

INPUT_Y = -1.0
NODE_RADIUS = 0.1  # in layers: less than half a marker, whose fill then hides the ends of the edges
READER_OFFSET = {"q": -0.105, "k": 0.0, "v": 0.105}  # the three inputs of a head enter side by side
LEAST_TANGENT = 0.22  # larger makes hooks between neighbouring layers


def mlp_column(graph: Graph) -> float:
    """Return the x of the MLPs."""
    return graph.n_heads - 1 + max(1.25, 0.12 * graph.n_heads)


def logits_y(graph: Graph) -> float:
    """Return the y of the logits node, above the last MLP, which is half a layer above its heads."""
    return graph.n_layers + (-0.1 if graph.parallel else 0.3)


def x_range(graph: Graph) -> tuple[float, float]:
    """Return the x range that holds every node and the bows of the MLP column."""
    return -0.75, mlp_column(graph) + 1.0


def y_range(graph: Graph) -> tuple[float, float]:
    """Return the y range that holds every node."""
    return INPUT_Y - 0.5, logits_y(graph) + 0.5


def node_places(graph: Graph) -> np.ndarray:
    """Return the coordinates of `graph.nodes`, float [n_nodes, 2] as (x, y)."""
    middle = (graph.n_heads - 1) / 2
    rise = 0.0 if graph.parallel else 0.5  # a parallel MLP reads what its block's heads read
    places = [(middle, INPUT_Y)]
    for layer in range(graph.n_layers):
        places += [(float(head), float(layer)) for head in range(graph.n_heads)]
        places.append((mlp_column(graph), layer + rise))
    places.append((middle, logits_y(graph)))
    return np.array(places)


def edge_kinds(graph: Graph) -> np.ndarray:
    """Return the kind of reader of every edge, str [n_edges]: q, k, v, head, mlp or logits."""
    return np.array([reader_kind(reader) for reader in graph.readers])[graph.edges[:, 1]]


def edge_nodes(graph: Graph) -> np.ndarray:
    """Return the nodes at both ends of every edge, int [n_edges, 2], as indices into `graph.nodes`."""
    return np.stack([graph.edges[:, 0], graph.reader_nodes[graph.edges[:, 1]]], axis=1)


def curves(start: np.ndarray, end: np.ndarray, kinds: np.ndarray, points: int, outward: float) -> np.ndarray:
    """Return cubic Bezier curves with vertical tangents.

    Args:
        start, end: coordinates of the two nodes of each edge, [n, 2].
        kinds: kind of reader of each edge, str [n].
        points: number of points per curve.
        outward: x from which on edges within one column bow to the right to pass the nodes between.

    Returns:
        float32 [n, points, 2].
    """
    offset = np.zeros(len(kinds))
    for kind, shift in READER_OFFSET.items():
        offset[kinds == kind] = shift
    start = start + np.array([0.0, NODE_RADIUS])
    end = end + np.stack([offset, np.full(len(kinds), -NODE_RADIUS)], axis=1)
    rise = end[:, 1] - start[:, 1]
    tangent = np.maximum(rise * 0.5, LEAST_TANGENT)
    same_column = np.abs(end[:, 0] - start[:, 0]) < 0.3
    side = np.where(start[:, 0] >= outward, 0.36, 0.24)
    bow = np.where(same_column & (rise > 0.8), side * np.minimum(rise, 3.0), 0.0)
    first = start + np.stack([bow, tangent], axis=1)
    second = end + np.stack([bow, -tangent], axis=1)
    t = np.linspace(0.0, 1.0, points)[None, :, None]
    corners = np.stack([start, first, second, end])[:, :, None, :]
    weights = np.stack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3])
    return (weights * corners).sum(axis=0).astype(np.float32)
