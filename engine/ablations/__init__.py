"""Ablations: the values that replace ablated activations, one file per ablation."""
