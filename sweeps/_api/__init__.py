"""The public functions of `sweeps`."""
