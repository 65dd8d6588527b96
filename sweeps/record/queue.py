"""A thread that writes the newest state of each item and retries if the store is unreachable."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

T = TypeVar("T")

FLUSH_TRIES = 3
"""Consecutive failures after which `flush` stops waiting."""


class PermanentError(Exception):
    """The item cannot be written, also not by a retry. It is dropped and counted."""


class LatestQueue(Generic[T]):
    """Calls `write` with items on one thread; of several states of one number only the newest is written.

    If `write` raises `PermanentError` the item is dropped. After any other error all items are kept and retried after
    a pause that doubles up to `longest_pause` seconds.
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
        # A daemon, so that a store that hangs does not prevent the driver's exit.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, number: int, item: T) -> None:
        """Queue the newest state of a number. Returns at once."""
        with self._changed:
            # Moved to the end, so that items are written in the order of their changes.
            self._pending.pop(number, None)
            self._pending[number] = item
            self._given_up.discard(number)
            self._changed.notify_all()

    def flush(self, *, timeout: float) -> bool:
        """Wait until the queue is empty, and return whether it is.

        A pause between two tries is skipped. The wait ends early after `FLUSH_TRIES` failures.
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
        """Error because of which items are still queued; None if the queue is empty."""
        with self._changed:
            return None if self._is_idle() else self._last_failure or "it does not answer"

    def close(self, *, timeout: float) -> int:
        """Write as much as possible within `timeout` seconds, end the thread; return the number of unwritten items."""
        self.flush(timeout=timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout=1.0)
        with self._changed:
            return len(self._given_up | self._pending.keys() | self._in_flight.keys())

    def _run(self) -> None:
        pause, is_unreachable = self._first_pause, False
        while batch := self._next_batch():
            failure = self._write_all(batch)
            if failure is None:
                pause, is_unreachable = self._first_pause, False
                continue
            if not is_unreachable:
                _log.warning("%s: %s (retrying)", self._name, failure)
            is_unreachable = True
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
                _log.error("%s: trial %d could not be recorded: %s", self._name, number, error)
                with self._changed:
                    self._given_up.add(number)
            except Exception as error:  # an error of the record must not end a run
                failure = error
                break
            del left[number]
        with self._changed:
            self._pending = left | self._pending
            self._in_flight = {}
            self._changed.notify_all()
        return failure
