"""Targets of notifications, one file each: accepted texts and sending."""
