"""Rules of early stopping, a file each: fields, Optuna's pruner, expected epochs, the sentence on screens.

A new rule is a file and an entry in `RULES`; tests/sweeps/stopping asks of each entry what every rule has to do.
"""
