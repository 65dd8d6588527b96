"""Files and databases of a sweep: folder and lock, journal, checkpoints, buckets, log of test-set accesses."""
