"""Figures that Causal tracing alone draws."""
