"""Proposals of the searcher for Ray Tune, with a fake ledger; no Ray is started."""

from __future__ import annotations

import contextlib
from typing import cast

from ray.tune.search import Searcher

from sweeps.backends.ledger_calls import LedgerCalls
from sweeps.backends.ray.tune import LedgerSearcher
from sweeps.core.job import Job
from sweeps.core.trial import TrialRecord
from sweeps.search.ledger import EXHAUSTED, Exhausted, Ledger

JOB = Job(number=0, task="image_classification", config="{}", checkpoint="", log="", cpus=1, device="cpu")


class Calls(LedgerCalls):
    """Returns jobs endlessly, or reports that there is none."""

    def __init__(self, *, live: int, answer: Job | Exhausted | None = JOB) -> None:
        super().__init__(cast(Ledger, None))
        self._live, self._answer = live, answer
        self.asked = 0

    @property
    def live(self) -> int:
        return self._live

    def next_job(self, job_of: object) -> Job | Exhausted | None:
        self.asked += 1
        return self._answer


def job_of(record: TrialRecord) -> Job:
    return JOB


def test_no_more_trials_are_proposed_than_there_are_slots() -> None:
    full, free = Calls(live=2), Calls(live=1)

    assert LedgerSearcher(full, job_of=job_of, slots=lambda: 2).suggest("a") is None
    assert full.asked == 0
    assert LedgerSearcher(free, job_of=job_of, slots=lambda: 2).suggest("a")["checkpoint"] == ""
    assert free.asked == 1


def test_the_end_is_reported_and_a_wait_is_no_end() -> None:
    assert (
        LedgerSearcher(Calls(live=0, answer=EXHAUSTED), job_of=job_of, slots=lambda: 2).suggest("a")
        == Searcher.FINISHED
    )
    assert LedgerSearcher(Calls(live=1, answer=None), job_of=job_of, slots=lambda: 2).suggest("a") is None


class BrokenLedger:
    live = 0
    in_one_write = contextlib.nullcontext

    def next_trial(self) -> None:
        raise OSError("the disk is gone")


def test_an_error_of_the_ledger_is_stored_and_ends_the_search() -> None:
    calls = LedgerCalls(cast(Ledger, BrokenLedger()))

    assert LedgerSearcher(calls, job_of=job_of, slots=lambda: 2).suggest("a") == Searcher.FINISHED
    assert isinstance(calls.failure, OSError)
