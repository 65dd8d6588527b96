"""Where what a sweep must not lose is kept: a folder, a bucket, a database. No secret stands in any name."""
