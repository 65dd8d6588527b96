"""Records and contracts that all packages share, without I/O: trial, task, identity, errors, formatting."""
