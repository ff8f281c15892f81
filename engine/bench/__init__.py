"""The benchmark table."""
