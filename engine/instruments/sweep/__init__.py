"""Sweep: methods side by side, under every ablation, on every task, with every seed."""
