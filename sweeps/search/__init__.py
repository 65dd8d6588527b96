"""Proposers of configurations, the ledger of a sweep's trials, replicates, and the state of a sweep."""
