"""When a run stops before its end, and why: a signal, its time limit, no room, no storage, trials that fail alike."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Literal

from rich.console import Console

StopReason = Literal["signal", "timeout", "disk full", "storage away", "code changed", "failing"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopping:
    """Whether to stop, and why. The first signal asks for an orderly end, the second one ends at once."""

    def __init__(self, *, limit: float | None, console: Console) -> None:
        """Start the clock.

        Args:
            limit: seconds after which to stop, None for no limit.
            console: where a person is told that a signal was heard.
        """
        self._deadline = None if limit is None else time.monotonic() + limit
        self._console = console
        self._signals = 0
        self._on_terminal = sys.stdout.isatty()
        self._terminal_is_gone = False
        self.reason: StopReason | None = None
        self.details = ""
        """For a person, where the reason alone does not say what to do."""

    def request(self, reason: StopReason, details: str) -> None:
        """Ask for an orderly end; the first reason stands."""
        if self.reason is None:
            self.reason, self.details = reason, details

    def __call__(self) -> bool:
        if self.reason is None and self._deadline is not None and time.monotonic() > self._deadline:
            self.reason = "timeout"
        return self.reason is not None

    def is_late(self) -> bool:
        """Return whether the time is over."""
        return self() and self.reason == "timeout"

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Leave the block at the second signal; what it did so far is kept."""
        try:
            yield
        except KeyboardInterrupt:
            self.reason = "signal"

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listen for signals within the block: Ctrl-C, `sweeps stop`, a terminal that is closed (not under nohup)."""
        heard = [s for s in STOP_SIGNALS if not (s == signal.SIGHUP and signal.getsignal(s) == signal.SIG_IGN)]
        try:
            before = {number: signal.signal(number, self._on_signal) for number in heard}
        except ValueError:
            # Not the main thread, as in a test or a notebook: the caller's handlers stay.
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._terminal_is_gone and not sys.stdout.isatty():
                # What is still to be said is said to nobody.
                sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        self.reason = "signal"
        self._terminal_is_gone |= number == signal.SIGHUP and self._on_terminal
        if self._signals > 1:
            raise KeyboardInterrupt
        # Not here: the line that was being written when the signal came holds the terminal, which may be paused.
        threading.Thread(target=self._print_notice, daemon=True).start()

    def _print_notice(self) -> None:
        self._console.print("stopping: every epoch so far is saved (once more to stop at once)")
