"""The optimizers, one file each. A new one is a file here and an entry in `registry.py`."""
