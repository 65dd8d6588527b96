"""Data sets of the user's own: read from folders, tables and arrays, and prepared once as arrays of one size."""
