"""Figures that the page Ablations alone draws."""
