"""Circuits: the graph of a model, sets of its edges, and the files they lie in."""
