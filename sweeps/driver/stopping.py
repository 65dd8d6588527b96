"""Requests to stop a run before its end, by signals, the time limit or failures."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Literal

from rich.console import Console

StopReason = Literal["signal", "timeout", "budget", "disk full", "storage away", "code changed", "failing"]

REASON_TEXTS: Mapping[str, str] = {
    "timeout": "time limit reached",
    "budget": "time budget used up",
    "storage away": "storage unreachable",
    "failing": "all trials fail in the same way",
}
"""Text on screen of the reasons that are not their own text."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Whether to stop, and the reason. The first signal requests an orderly stop, the second stops immediately.

    Args:
        limit: seconds until the timeout; None for no limit.
        console: for the notice after a signal.
    """

    def __init__(self, *, limit: float | None, console: Console) -> None:
        self._began = time.monotonic()
        self.set_limit(limit)
        self._console = console
        self._signals = 0
        self._on_terminal = sys.stdout.isatty()
        self._terminal_is_gone = False
        self._outlives_terminal = False
        self.is_past: Callable[[], bool] = lambda: False
        """Returns whether the time budget of the sweep has passed."""
        self.reason: StopReason | None = None
        self.details = ""
        """Message about the reason and what to do."""

    def set_limit(self, limit: float | None) -> None:
        """Change the seconds until the timeout, counted from the start; None for no limit."""
        self._deadline = None if limit is None else self._began + limit

    def request(self, reason: StopReason, details: str) -> None:
        """Request an orderly stop. Only the first reason is kept."""
        if self.reason is None:
            self.reason, self.details = reason, details

    def __call__(self) -> bool:
        if self.reason is None and self._deadline is not None and time.monotonic() > self._deadline:
            self.reason = "timeout"
        if self.reason is None and self.is_past():
            self.reason = "budget"
        return self.reason is not None

    def is_late(self) -> bool:
        """Return whether the timeout was reached, or the time budget has passed."""
        return self() and self.reason in ("timeout", "budget")

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Leave the block at the second signal."""
        try:
            yield
        except KeyboardInterrupt:
            self.reason = "signal"

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Handle signals in the block: Ctrl-C, `sweeps stop`, and a closed terminal unless under nohup."""
        handled = [s for s in STOP_SIGNALS if not (s == signal.SIGHUP and signal.getsignal(s) == signal.SIG_IGN)]
        try:
            before = {number: signal.signal(number, self._on_signal) for number in handled}
        except ValueError:
            # Not the main thread, as in a test or a notebook: keep the caller's handlers.
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._terminal_is_gone and not sys.stdout.isatty():
                # Further output has no reader.
                sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    def outlive_terminal(self) -> None:
        """Continue when the terminal is closed, as under nohup."""
        self._outlives_terminal = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP and self._outlives_terminal:
            self._terminal_is_gone = True
            return
        self._signals += 1
        self.reason = "signal"
        self._terminal_is_gone |= number == signal.SIGHUP and self._on_terminal
        if self._signals > 1:
            raise KeyboardInterrupt
        # In a thread: the interrupted code may hold the lock of a paused terminal.
        threading.Thread(target=self._print_notice, daemon=True).start()

    def _print_notice(self) -> None:
        self._console.print(
            "Stopping. Finished epochs are saved. Press Ctrl-C again to stop at once. The same command resumes in both "
            "cases."
        )
