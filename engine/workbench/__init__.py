"""The workbench of instruments: prepared model, prompts and ablation, and the measurement of circuits."""
