"""Telling others how a sweep goes: a web address or a command hears of a new best and of the end.

Nothing here can hold a sweep up or change it.
"""
