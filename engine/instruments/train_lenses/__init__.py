"""Training the lenses of a model."""
