"""Views of the record: leaderboard, SQL queries, status, runs, comparisons, ladder tables and figures, HTML report.

All of them only read.
"""
