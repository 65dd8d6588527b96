"""Rules of early stopping, one file each: fields, Optuna's pruner, expected epochs, displayed text.

A new rule is a new file here. tests/sweeps/stopping runs the conformance tests on each rule.
"""
