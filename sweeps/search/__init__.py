"""What to try next, and the truth about it: the ledger, proposers, replicates, how a sweep stands."""
