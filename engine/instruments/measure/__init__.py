"""Measurement: metrics of circuits made of others."""
