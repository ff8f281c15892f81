"""Lenses: trained once a model, and read on texts."""
