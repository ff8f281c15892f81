"""Importance: what is lost when a node alone is ablated."""
