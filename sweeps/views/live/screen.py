"""A terminal on which a running sweep redraws itself in place."""

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
    """Draws what `look` returns, twice a second, until it is left; then it wipes it away and shows the cursor again."""

    def __init__(self, console: Console, look: Callable[[], LiveState], *, prints_through: bool = False) -> None:
        """Draw nothing yet. `prints_through`: show what others print above, where no file takes it."""
        self._console, self._look = console, look
        self._drawn = Text()
        self._live = _ResizableLive(
            get_renderable=self.drawn,
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
            # Under Ray others print into a file (`redirect_output`); caught here it would come to the terminal.
            redirect_stdout=prints_through,
            redirect_stderr=prints_through,
        )

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def drawn(self) -> Text:
        """Return the screen as it would be drawn now.

        A line stays free, so that nothing scrolls, and two columns for the `^C` that a terminal writes at the end of
        the last line: were it to begin another one, the next drawing would be a line too low.
        """
        size = self._console.size
        unicode = self._console.encoding.lower().startswith("utf")
        # The state may change while it is looked at, and no view is worth a sweep: the last one stays meanwhile.
        with contextlib.suppress(Exception):
            width, height = max(1, size.width - 2), max(1, size.height - 1)
            self._drawn = draw(self._look(), width=width, height=height, unicode=unicode)
        return self._drawn


class _ResizableLive(Live):
    """Begins on an empty screen where the window has another width: the terminal has broken the old lines anew."""

    _size: ConsoleDimensions | None = None

    def refresh(self) -> None:
        with self._lock:
            size, before = self.console.size, self._size
            self._size = size
            if before is not None and size.width != before.width:
                self._live_render._shape = None
                self.console.control(Control.clear(), Control.home())
        super().refresh()
