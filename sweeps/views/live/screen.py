"""The live view on a terminal, redrawn in place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from rich.console import Console, ConsoleDimensions
from rich.control import Control
from rich.live import Live
from rich.text import Text

from sweeps.views.live.drawing import draw
from sweeps.views.live.live_state import LiveState

REFRESHES_PER_SECOND = 2


class Screen:
    """Draws the result of `live_state` twice a second. On exit it clears the view and restores the cursor."""

    def __init__(self, console: Console, live_state: Callable[[], LiveState], *, prints_through: bool = False) -> None:
        """Create the view.

        Args:
            console: the terminal.
            live_state: returns the state to draw.
            prints_through: print the output of other code above the view.
        """
        self._console, self._live_state = console, live_state
        self._drawn = Text()
        self._live = _ResizableLive(
            get_renderable=self.drawn,
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            # Under Ray, output of other code goes to a file (`redirect_output`) and must not be printed here.
            redirect_stdout=prints_through,
            redirect_stderr=prints_through,
        )

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def drawn(self) -> Text:
        """Return the present view.

        One line stays free to avoid scrolling. Two columns stay free for the `^C` of the terminal, which would
        otherwise start a new line and shift the next drawing.
        """
        size = self._console.size
        unicode = self._console.encoding.lower().startswith("utf")
        # The state may change during the reading. Keep the last view then, because the view must not stop the sweep.
        with contextlib.suppress(Exception):
            width, height = max(1, size.width - 2), max(1, size.height - 1)
            self._drawn = draw(self._live_state(), width=width, height=height, unicode=unicode)
        return self._drawn


class _ResizableLive(Live):
    """Clears the screen after a change of the width, because the terminal rewraps the old lines."""

    _size: ConsoleDimensions | None = None

    def refresh(self) -> None:
        with self._lock:
            size, before = self.console.size, self._size
            self._size = size
            if before is not None and size.width != before.width:
                self._live_render._shape = None
                self.console.control(Control.clear(), Control.home())
        super().refresh()
