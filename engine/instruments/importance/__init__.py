"""Importance: the loss when each node alone is ablated, and its direct effect on the answer."""
