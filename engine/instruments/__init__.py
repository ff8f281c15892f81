"""Instruments: what can be asked of a model, one folder each."""
