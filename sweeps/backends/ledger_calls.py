"""Wrapper of the ledger for Ray Tune's components."""

from __future__ import annotations

from collections.abc import Callable

from sweeps.core.job import Job
from sweeps.core.trial import TrialMessage, TrialRecord
from sweeps.search.confirming import TrialSource
from sweeps.search.ledger import EXHAUSTED, Exhausted


class LedgerCalls:
    """Calls the ledger and stores its exceptions, which Ray would swallow. The first one ends the sweep."""

    def __init__(self, ledger: TrialSource) -> None:
        self._ledger = ledger
        self.failure: Exception | None = None

    @property
    def live(self) -> int:
        return self._ledger.live

    @property
    def remaining(self) -> int | None:
        return self._ledger.remaining

    def next_job(self, job_of: Callable[[TrialRecord], Job]) -> Job | Exhausted | None:
        try:
            with self._ledger.in_one_write():
                proposed = EXHAUSTED if self.failure else self._ledger.next_trial()
                return job_of(proposed) if isinstance(proposed, TrialRecord) else proposed
        except Exception as error:
            self.failure = error
            return EXHAUSTED

    def receive(self, number: int, message: TrialMessage) -> bool:
        """Pass a trial's message to the ledger; return whether the trial has ended."""
        try:
            return self.failure is not None or self._ledger.receive(number, message)
        except Exception as error:
            self.failure = error
            return True
