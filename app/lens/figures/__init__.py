"""Figures that the page Lens alone draws."""
