"""Figures of repeated discoveries."""
