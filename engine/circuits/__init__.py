"""Circuits: the graph of a model, sets of its edges, and circuit files."""
