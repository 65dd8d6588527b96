"""A thread for each who is told: whoever is slow holds up neither the sweep nor the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sweeps.notify.message import Message
from sweeps.notify.target import NotToldError, Target

BEST_SECONDS = 10.0
"""Least time between two new bests that one target is told of."""


class Sender:
    """Tells one target what it is given, in a daemon thread.

    At most two messages wait: the latest best, which a better one replaces, and the end, which replaces a best.
    """

    def __init__(self, target: Target, *, say: Callable[[str], None]) -> None:
        """Start the thread.

        Args:
            target: who is told.
            say: prints a line for a person; the first failure alone.
        """
        self._target = target
        self._say = say
        self._changed = threading.Condition()
        self._best: Message | None = None
        self._last: Message | None = None
        self._is_closing = False
        self._is_quiet = False
        self._told_best = -BEST_SECONDS
        self._thread = threading.Thread(target=self._run, name=f"notify {target.label}", daemon=True)
        self._thread.start()

    def new_best(self, message: Message) -> None:
        """Tell it as soon as `BEST_SECONDS` have passed since the last one."""
        with self._changed:
            self._best = message
            self._changed.notify()

    def close(self, last: Message) -> None:
        """Tell it the end, and nothing afterwards. Returns at once."""
        with self._changed:
            self._last, self._best, self._is_closing = last, None, True
            self._changed.notify()

    def join(self, *, deadline: float) -> None:
        """Wait until all is told, or for a time of `time.monotonic`; from then on nothing is printed any more."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._fail("no answer at the end of the sweep, which does not wait for it")
        self._is_quiet = True

    def _run(self) -> None:
        while (message := self._next()) is not None:
            try:
                self._target.tell(message)
            except NotToldError as error:
                self._fail(str(error))
            except Exception as error:  # of a kind that nobody thought of: it must not print a traceback
                self._fail(type(error).__name__)

    def _next(self) -> Message | None:
        """Wait for what is to be told next; None once the end is told."""
        with self._changed:
            while True:
                if self._is_closing:
                    last, self._last = self._last, None
                    return last
                left = self._told_best + BEST_SECONDS - time.monotonic()
                if self._best is not None and left <= 0:
                    best, self._best = self._best, None
                    self._told_best = time.monotonic()
                    return best
                self._changed.wait(None if self._best is None else left)

    def _fail(self, reason: str) -> None:
        if not self._is_quiet:
            self._is_quiet = True
            self._say(f"warning: {self._target.label} could not be told: {reason} (said once)")
