"""Lenses: trained once per model, and applied to texts."""
