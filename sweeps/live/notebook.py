"""A running sweep below a notebook's cell, redrawn in place."""

from __future__ import annotations

import contextlib
import html
import sys
import time
from collections.abc import Callable
from typing import Any

from sweeps.live.drawing import draw
from sweeps.live.seen import Seen

LEAST_SECONDS = 0.5
"""Between two drawings."""

WIDTH, HEIGHT = 100, 24
"""Of the picture, in characters."""


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    interactive = sys.modules.get("IPython")
    shell = None if interactive is None else interactive.get_ipython()
    return getattr(shell, "kernel", None) is not None


class NotebookScreen:
    """Draws what `look` returns whenever it is told of a change, at most twice a second."""

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._last = 0.0
        self._handle: Any = None

    def __enter__(self) -> NotebookScreen:
        from IPython.display import display

        self._handle = display(self._picture(), display_id=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._draw()

    def changed(self) -> None:
        """Draw anew, unless that was done just now."""
        if time.monotonic() - self._last >= LEAST_SECONDS:
            self._last = time.monotonic()
            self._draw()

    def _draw(self) -> None:
        # A page that was closed takes no picture: the sweep goes on.
        with contextlib.suppress(Exception):
            self._handle.update(self._picture())

    def _picture(self) -> Any:
        from IPython.display import HTML

        text = draw(self._look(), width=WIDTH, height=HEIGHT).plain
        style = "margin:0;line-height:1.35;font-family:ui-monospace,Menlo,Consolas,monospace;white-space:pre"
        return HTML(f'<pre style="{style}">{html.escape(text)}</pre>')
