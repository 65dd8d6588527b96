"""One run of a sweep or a ladder from its plan to its summary: signals, limits, what stays, the final evaluation."""
