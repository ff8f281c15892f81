"""The demo model `explorer-4l`: its corpus, tokenizer, training and model card (`make demo-model`)."""
