"""Records and contracts of the whole project, without I/O: trial, outcome, identity, errors, how values are written."""
