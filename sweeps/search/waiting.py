"""The trials that are begun and wait for a slot: left by a dead driver, or put back because their machine failed."""

from __future__ import annotations

from collections import Counter

from sweeps.core.trial import ErrorClass

PROCESS_RETRIES = 3
"""How often a start of a sweep goes on with a trial whose process or node went away. Errors of its own end it."""


class WaitingTrials:
    """Decides which begun trial is next, and how often one that its machine stopped is tried again.

    One that ran out of memory is tried once more, with nothing beside it: what fails then needs more than there is.
    """

    def __init__(self) -> None:
        self._waiting: list[int] = []
        self._waiting_for_all: list[int] = []
        """Those that are to run alone."""
        self._alone: int | None = None
        """The one that runs alone now."""
        self._losses: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._waiting_for_all)

    def add(self, number: int, *, error_class: str | None) -> None:
        """Let a trial that a former driver began wait; see `put_back` for what it was stopped by."""
        (self._waiting_for_all if error_class == ErrorClass.OUT_OF_MEMORY else self._waiting).append(number)

    def put_back(self, number: int, *, error_class: str | None) -> bool:
        """Let a trial wait that its machine has stopped; return False where it is not to be tried again."""
        if error_class == ErrorClass.OUT_OF_MEMORY:
            if self._alone == number:
                return False
            self._waiting_for_all.append(number)
            return True
        if error_class == ErrorClass.PROCESS_DIED:
            self._losses[number] += 1
            if self._losses[number] > PROCESS_RETRIES:
                return False
        (self._waiting_for_all if self._alone == number else self._waiting).append(number)
        self.ended(number)
        return True

    def ended(self, number: int) -> None:
        """Take note that a trial does not run any more."""
        if self._alone == number:
            self._alone = None

    @property
    def keeps_others_off(self) -> bool:
        """Whether nothing may start now: one runs alone, or waits until it can."""
        return self._alone is not None or bool(self._waiting_for_all)

    def next(self, *, live: int) -> int | None:
        """Return the trial to go on with, None where there is none, or not yet.

        Args:
            live: trials that run.
        """
        if self._alone is not None:
            return None
        if self._waiting_for_all:
            if live:
                return None
            self._alone = self._waiting_for_all.pop(0)
            return self._alone
        return self._waiting.pop(0) if self._waiting else None
