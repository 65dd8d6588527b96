"""The live view below a notebook's cell, redrawn in place twice a second."""

from __future__ import annotations

import contextlib
import contextvars
import html
import threading
from collections.abc import Callable
from typing import Any

from sweeps.views.live.drawing import draw
from sweeps.views.live.live_state import LiveState

SECONDS = 0.5
"""Interval between redraws."""

WIDTH, HEIGHT = 100, 24
"""Size of the view in characters."""


class NotebookScreen:
    """Draws the result of `live_state` twice a second on a separate thread, because the cell's thread is busy."""

    def __init__(self, live_state: Callable[[], LiveState]) -> None:
        self._live_state = live_state
        self._handle: Any = None
        self._stopped = threading.Event()
        # In the context of the cell, from which IPython knows the cell of an output.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=lambda: context.run(self._redraw), daemon=True)

    def __enter__(self) -> NotebookScreen:
        from IPython.display import display

        self._handle = display(self._picture(), display_id=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._draw()

    def _redraw(self) -> None:
        while not self._stopped.wait(SECONDS):
            self._draw()

    def _draw(self) -> None:
        # The state may change during the reading, and a closed page accepts no output.
        with contextlib.suppress(Exception):
            self._handle.update(self._picture())

    def _picture(self) -> Any:
        from IPython.display import HTML

        text = draw(self._live_state(), width=WIDTH, height=HEIGHT).plain
        style = "margin:0;line-height:1.35;font-family:ui-monospace,Menlo,Consolas,monospace;white-space:pre"
        return HTML(f'<pre style="{style}">{html.escape(text)}</pre>')
