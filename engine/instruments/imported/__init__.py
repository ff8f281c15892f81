"""Import: the circuits of every size that a circuit file ranks, measured here."""
