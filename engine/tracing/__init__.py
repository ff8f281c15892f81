"""Causal tracing: a prompt is corrupted, one clean state restored, and the answer comes back or not."""
