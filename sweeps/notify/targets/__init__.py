"""Targets of notifications, a file each: which texts it takes, and how it sends."""
