"""Causal tracing of a prompt or of a task."""
