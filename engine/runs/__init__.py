"""Runs: requests, results, and run folders."""
