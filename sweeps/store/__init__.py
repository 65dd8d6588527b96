"""What lies on disk, in a bucket or in a database: sweep folder and lock, journal, checkpoints, log of test looks."""
