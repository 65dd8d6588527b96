"""Run a sweep or a ladder from its plan to its summary."""
