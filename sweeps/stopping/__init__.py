"""Rules of early stopping, a file each: fields, Optuna's pruner, expected epochs, the sentence on screens.

A new rule is a new file here. tests/sweeps/stopping runs the conformance tests on each rule.
"""
