"""Runs: what was asked, what came out, and the folders they lie in."""
