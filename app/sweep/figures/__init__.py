"""Figures of methods side by side."""
