"""Causal tracing: effects on the answer of restoring one clean state in a run on a corrupted prompt."""
