"""Discovery: scores of every edge of a model for a task, and the circuits of every size they rank."""
