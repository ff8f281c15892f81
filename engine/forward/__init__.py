"""The forward pass with edges kept, ablated or partly ablated, and computations built on it."""
