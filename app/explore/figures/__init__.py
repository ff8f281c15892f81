"""Figures that Explore alone draws."""
