"""Discovery: scores of every edge of a model for a task, and circuits of every size by their ranking."""
