"""Tasks: behaviours whose circuits can be discovered, one file per task, and task files of users."""
