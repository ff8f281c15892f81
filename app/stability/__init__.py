"""How much of a circuit is chance, on the page Explore."""
