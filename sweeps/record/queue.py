"""One thread that writes the newest state of each thing, and tries again when the store is away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

T = TypeVar("T")

FLUSH_TRIES = 3
"""Failures in a row after which nobody waits for a store any more that is surely away."""


class PermanentError(Exception):
    """Trying again would not help: the item is given up and counted."""


class LatestQueue(Generic[T]):
    """Hands items to `write` on one thread; of several states of one number only the newest is written.

    `write` raising `PermanentError` gives the item up; anything else keeps it, and all others, for another
    try after a pause that doubles up to `longest_pause` seconds.
    """

    def __init__(
        self,
        write: Callable[[T], None],
        *,
        name: str,
        first_pause: float = 1.0,
        longest_pause: float = 30.0,
    ) -> None:
        self._write = write
        self._name = name
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._pending: dict[int, T] = {}
        self._given_up: set[int] = set()
        self._in_flight: dict[int, T] = {}
        self._failures = 0
        self._last_failure = ""
        self._closing = False
        self._hurry = False
        self._changed = threading.Condition()
        # A daemon: a store that hangs must not keep the driver from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, number: int, item: T) -> None:
        """Take the newest state of a number. Returns at once."""
        with self._changed:
            # To the end: what a curve over all numbers is drawn from comes in the order in which it happened.
            self._pending.pop(number, None)
            self._pending[number] = item
            self._given_up.discard(number)
            self._changed.notify_all()

    def flush(self, *, timeout: float) -> bool:
        """Wait until nothing is left to write, and return whether that came in time.

        A pause between two tries is cut short. What was given up is not waited for, nor a store that is away.
        """
        with self._changed:
            self._hurry = True
            self._failures = 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_idle() or self._failures >= FLUSH_TRIES, timeout=timeout)
            return self._is_idle()

    def _is_idle(self) -> bool:
        return not self._pending and not self._in_flight

    @property
    def failure(self) -> str | None:
        """Why something was kept at the end; None where all was written, or given up for good."""
        with self._changed:
            return None if self._is_idle() else self._last_failure or "it does not answer"

    def close(self, *, timeout: float) -> int:
        """Write what can be written within `timeout` seconds, end the thread; return how many were not."""
        self.flush(timeout=timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=1.0)
        with self._changed:
            return len(self._given_up | self._pending.keys() | self._in_flight.keys())

    def _run(self) -> None:
        pause, is_away = self._first_pause, False
        while batch := self._next_batch():
            failure = self._write_all(batch)
            if failure is None:
                pause, is_away = self._first_pause, False
                continue
            if not is_away:
                _log.warning("%s: %s (kept, and tried again)", self._name, failure)
            is_away = True
            with self._changed:
                self._last_failure = str(failure)
                self._failures += 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closing or self._hurry, timeout=pause)
                pause = self._first_pause if self._hurry else min(pause * 2, self._longest_pause)
                self._hurry = False
                if self._closing:
                    return

    def _next_batch(self) -> dict[int, T]:
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._closing)
            if self._closing:
                return {}
            self._in_flight, self._pending = self._pending, {}
            return self._in_flight

    def _write_all(self, batch: dict[int, T]) -> Exception | None:
        failure = None
        left = dict(batch)
        for number, item in batch.items():
            try:
                self._write(item)
            except PermanentError as error:
                _log.error("%s: number %d is not recorded: %s", self._name, number, error)
                with self._changed:
                    self._given_up.add(number)
            except Exception as error:  # the record of a run must never end the run
                failure = error
                break
            del left[number]
        with self._changed:
            self._pending = left | self._pending
            self._in_flight = {}
            self._changed.notify_all()
        return failure
