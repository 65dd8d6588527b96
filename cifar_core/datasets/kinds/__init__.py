"""Readers of data sources, one file each: a new file is found."""
