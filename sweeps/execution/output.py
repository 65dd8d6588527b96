"""What a sweep prints and what it keeps away: a console on the terminal, and a file for everybody else's output."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from sweeps.formatting import PLAIN_WIDTH


@contextlib.contextmanager
def terminal_copy() -> Iterator[Console]:
    """Yield a console on a copy of standard output, which stays on the terminal when the original is redirected."""
    sys.stdout.flush()
    try:
        copy = os.dup(sys.stdout.fileno())
    except OSError:
        # A notebook's or a test's standard output has no file behind it, and is not redirected either.
        yield Console(width=PLAIN_WIDTH, highlight=False, file=sys.stdout)
        return
    with os.fdopen(copy, "w", encoding="utf-8", buffering=1) as stream:
        terminal = stream.isatty()
        yield Console(file=stream, width=None if terminal else PLAIN_WIDTH, highlight=False)


@contextlib.contextmanager
def redirect_output(log: Path) -> Iterator[None]:
    """Send what this process and its children print, below Python too, to a file.

    What the sweep itself shows goes to the copy of the terminal made before (`terminal_copy`).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
