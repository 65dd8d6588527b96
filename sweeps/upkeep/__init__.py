"""Keeping a runs folder well: what a crash left wrong is found and mended, what nothing refers to is freed.

It lies above execution and record, and below the command line. Nothing here trains, and a sweep that somebody holds is
left alone.
"""
