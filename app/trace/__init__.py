"""The page Causal tracing: where is the fact recalled?"""
