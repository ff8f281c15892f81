"""Evaluation: the circuits of a finished run under another ablation."""
