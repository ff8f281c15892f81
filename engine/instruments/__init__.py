"""Instruments: the kinds of requests about a model, one folder each."""
