"""Signals are handled at any moment."""

from __future__ import annotations

import io
import os
import signal
import time

from rich.console import Console

from sweeps.driver.stopping import Stopping


class PausedTerminal(io.StringIO):
    """A paused terminal: a signal arrives in the middle of a line."""

    def __init__(self) -> None:
        super().__init__()
        self.is_writing = False

    def write(self, text: str) -> int:
        # As Python's buffered files do.
        assert not self.is_writing, "reentrant call"
        self.is_writing = True
        if "line" in text:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
        self.is_writing = False
        return super().write(text)


def test_a_signal_while_printing_is_handled_after_the_line() -> None:
    terminal = PausedTerminal()
    console = Console(file=terminal)
    stopping = Stopping(limit=None, console=console)

    with stopping.on_signals():
        console.print("a line")
        deadline = time.monotonic() + 5
        while "stopping" not in terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)

    assert stopping.reason == "signal"
    assert terminal.getvalue().startswith("a line\nStopping. Finished epochs are saved.")


def test_a_time_limit_stops_after_its_end() -> None:
    assert Stopping(limit=0.0, console=Console(file=io.StringIO()))()
    stopping = Stopping(limit=60.0, console=Console(file=io.StringIO()))
    assert not stopping()
    stopping.request("disk full", "no room")
    stopping.request("failing", "later")
    assert (stopping(), stopping.reason, stopping.details) == (True, "disk full", "no room")
