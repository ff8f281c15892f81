"""Lenses: predictions of the next token from the residual stream in the middle of the model."""
