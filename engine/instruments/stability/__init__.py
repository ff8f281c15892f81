"""Stability: a discovery repeated with other seeds, and without some of its templates."""
