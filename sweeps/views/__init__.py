"""Showing what is recorded: leaderboard and SQL, a sweep's status, one run, a ladder's table, pictures and page.

Everything here reads; nothing here trains or changes a record.
"""
