"""What records add up to: ranks with their intervals, the rungs of a ladder, and what each step of it brought.

Numbers and words, no tables and no pictures: execution and report both stand on it.
"""
