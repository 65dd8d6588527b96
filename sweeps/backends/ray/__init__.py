"""Ray Tune as a backend: it places trials on slots, and the ledger decides everything else."""
