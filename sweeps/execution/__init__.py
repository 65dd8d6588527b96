"""Carrying it out: the plan of a run, the runner with signals and resume, backends, trials, the live view.

A backend trains what the ledger hands out; an epoch goes trial → backend → `Ledger.report`, and nowhere else.
"""
