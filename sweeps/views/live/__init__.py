"""The live view of a running sweep, used by its driver and by `sweeps status --watch`."""
