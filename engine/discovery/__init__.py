"""Methods that find circuits: one file per method, a score for every edge."""
