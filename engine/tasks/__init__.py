"""The behaviours whose circuits can be looked for: one file per task, and user files."""
