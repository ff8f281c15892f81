"""Import: measurement of circuits of every size by the ranking of a circuit file."""
