"""Figures that Compare alone draws."""
