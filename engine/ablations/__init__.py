"""What stands in for an activation that is taken away: one file per ablation."""
