"""Maintenance of a runs folder: `sweeps doctor`, `sweeps gc` and `sweeps import`.

Nothing here trains. Sweeps that another process holds are skipped.
"""
