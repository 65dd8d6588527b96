"""The console that verbs print tables to."""

from __future__ import annotations

import sys

from rich.console import Console


def console() -> Console:
    """Return a console on standard output; wide enough for a table where that is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)
