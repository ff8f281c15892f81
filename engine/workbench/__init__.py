"""What an instrument works with: model, prompts and ablation made ready, and circuits measured."""
