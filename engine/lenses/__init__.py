"""Lenses: what the model would say if it stopped in the middle of its layers."""
