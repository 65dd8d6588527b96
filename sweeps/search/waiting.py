"""Started trials that wait for a slot: an earlier driver left them, or their process or node failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from sweeps.core.trial import ErrorClass

PROCESS_RETRIES = 3
"""How often one start of a sweep retries a trial whose process or node failed. An error of the trial is not retried."""


class WaitingTrials:
    """Decides which started trial runs next, and how often an interrupted one is retried.

    A trial that ran out of memory is retried once, alone. If it fails again, it needs more memory than there is.
    """

    def __init__(self) -> None:
        self._waiting: list[int] = []
        self._waiting_for_all: list[int] = []
        """Trials that must run alone."""
        self._alone: int | None = None
        """The trial that runs alone now."""
        self._losses: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._waiting_for_all)

    def add(self, number: int, *, error_class: str | None) -> None:
        """Add a trial that an earlier driver started; `error_class` is the reason why it was interrupted."""
        (self._waiting_for_all if error_class == ErrorClass.OUT_OF_MEMORY else self._waiting).append(number)

    def requeue(self, number: int, *, error_class: str | None) -> bool:
        """Add a running trial whose process or node failed; return False if it must not be retried."""
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
        self.remove(number)
        return True

    def discard(self, number: int) -> None:
        """Remove a trial that waits."""
        self._waiting = [each for each in self._waiting if each != number]
        self._waiting_for_all = [each for each in self._waiting_for_all if each != number]

    def remove(self, number: int) -> None:
        """Mark a trial as no longer running."""
        if self._alone == number:
            self._alone = None

    @property
    def blocks_new_trials(self) -> bool:
        """Whether no other trial may start: one runs alone, or waits until it can."""
        return self._alone is not None or bool(self._waiting_for_all)

    def next(self, *, live: int, may_start: Callable[[int], bool] = lambda number: True) -> int | None:
        """Return the next trial to resume; None if there is none, or none that may start now.

        Args:
            live: Number of running trials.
            may_start: Whether there is time for a trial.
        """
        if self._alone is not None:
            return None
        if self._waiting_for_all:
            if live or not may_start(self._waiting_for_all[0]):
                return None
            self._alone = self._waiting_for_all.pop(0)
            return self._alone
        number = next(filter(may_start, self._waiting), None)
        if number is not None:
            self._waiting.remove(number)
        return number
