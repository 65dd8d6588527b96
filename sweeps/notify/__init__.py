"""Notifications about a new best and the end of a sweep to URLs, services and commands.

They cannot delay or change a sweep.
"""
