"""The console that verbs print tables to."""

from __future__ import annotations

import sys

from rich.console import Console

from sweeps.formatting import PLAIN_WIDTH


def console() -> Console:
    """Return a console on standard output; `PLAIN_WIDTH` wide where that is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
