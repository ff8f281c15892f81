"""Measurement: circuits made of others, one by one."""
