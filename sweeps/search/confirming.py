"""The trials of a search with a time budget, and the replicates of its best configurations, on the same slots."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

import optuna

from sweeps.core.task import TaskConfig
from sweeps.core.trial import TrialMessage, TrialRecord
from sweeps.files.parameter import Assignment
from sweeps.files.settings import Replicates
from sweeps.search.deadline import Deadline
from sweeps.search.ledger import EXHAUSTED, Exhausted, Ledger
from sweeps.search.proposers import Candidate, Proposal
from sweeps.search.replicates import replicates_of


class TrialSource(Protocol):
    """What a backend trains: a ledger, or a search and its replicates."""

    @property
    def live(self) -> int:
        """Number of running trials."""
        ...

    @property
    def remaining(self) -> int | None:
        """Number of trials still to be started; None if unknown."""
        ...

    @property
    def is_on_hold(self) -> bool:
        """Whether no epoch may begin, because the sweep is paused."""
        ...

    @property
    def records(self) -> list[TrialRecord]:
        """All trials."""
        ...

    def in_one_write(self) -> AbstractContextManager[None]:
        """Write all changes of a block at once at its end."""
        ...

    def next_trial(self) -> TrialRecord | Exhausted | None:
        """Return the next trial to train, `EXHAUSTED`, or None: a running trial must end first, or it `is_on_hold`."""
        ...

    def receive(self, number: int, message: TrialMessage) -> bool:
        """Process a message of a trial. Return whether the trial has ended."""
        ...


class LikelyReplicates:
    """Proposes the runs that confirm the configurations which are the best when it is asked, if they fit.

    It is the gate of the replicates too.
    """

    searches = False
    is_over = False

    def __init__(
        self,
        deadline: Deadline,
        settings: Replicates,
        *,
        key_of: Callable[[TaskConfig], str],
        used_seeds: Callable[[], Iterable[int]],
    ) -> None:
        """Create it.

        Args:
            deadline: Knows the best configurations and the time.
            settings: Number of configurations and of seeds.
            key_of: Returns the key of a configuration.
            used_seeds: Returns the seeds that the search has used or may use.
        """
        self._deadline, self._settings, self._key_of, self._used_seeds = deadline, settings, key_of, used_seeds
        self._known: set[str] = set()

    def _next(self) -> Candidate | None:
        chosen = self._deadline.best(self._settings.top)
        of_trial = {record.trial: record for record in chosen}
        # A trial that is trained to its end in the search is not trained again.
        whole = [self._deadline.as_complete(record) for record in chosen]
        for candidate in replicates_of(whole, self._settings, used_seeds=self._used_seeds()):
            assert candidate.replicate_of is not None
            of = of_trial[candidate.replicate_of]
            is_new = self._key_of(candidate.config) not in self._known
            if is_new and self._deadline.replicate_fits(candidate.config, of=of):
                return candidate
        return None

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Assignment | None = None) -> Proposal | None:
        candidate = self._next()
        if candidate is None:
            return None
        self._known.add(self._key_of(candidate.config))
        return Proposal(trial=study.ask(), config=candidate.config, replicate_of=candidate.replicate_of)

    def total(self) -> int | None:
        return None

    def concerns(self, key: str) -> bool:
        return True

    def enter(self, record: TrialRecord) -> None:
        self._known.add(record.key)
        self._deadline.enter(record)

    def may_begin(self) -> bool:
        return self._next() is not None

    def may_continue(self, record: TrialRecord) -> bool:
        return self._deadline.may_continue(record)

    def finishing(self, *, is_closing: bool = False) -> Sequence[int]:
        return ()

    def must_yield(self, record: TrialRecord) -> bool:
        return self._deadline.must_yield(record)


class SearchAndReplicates:
    """A search whose free slots train replicates as soon as no trial of it can begin any more.

    A replicate is a run of its own study. Here its number is negative, so that the numbers differ.
    """

    def __init__(self, search: Ledger, replicates: Ledger, *, deadline: Deadline) -> None:
        """Create it from the ledgers of both studies, which the same deadline gates."""
        self._search, self._replicates, self._deadline = search, replicates, deadline

    @property
    def live(self) -> int:
        return self._search.live + self._replicates.live

    @property
    def remaining(self) -> int | None:
        return self._search.remaining

    @property
    def is_on_hold(self) -> bool:
        return self._search.is_on_hold

    @property
    def records(self) -> list[TrialRecord]:
        return [*self._search.records, *map(_numbered_apart, self._replicates.records)]

    @contextlib.contextmanager
    def in_one_write(self) -> Iterator[None]:
        with self._search.in_one_write(), self._replicates.in_one_write():
            yield

    def next_trial(self) -> TrialRecord | Exhausted | None:
        if self.is_on_hold:
            return None
        of_search = self._search.next_trial()
        if isinstance(of_search, TrialRecord):
            return of_search
        if of_search is None and not self._deadline.is_finishing and self._search.remaining != 0:
            return None
        replicate = self._replicates.next_trial()
        if isinstance(replicate, TrialRecord):
            return _numbered_apart(replicate)
        return None if self.live else EXHAUSTED

    def receive(self, number: int, message: TrialMessage) -> bool:
        ledger, of_study = self.ledger_of(number)
        return ledger.receive(of_study, message)

    def ledger_of(self, number: int) -> tuple[Ledger, int]:
        """Return the ledger of a trial, and the trial's number in its study."""
        return (self._search, number) if number >= 0 else (self._replicates, -1 - number)


def _numbered_apart(replicate: TrialRecord) -> TrialRecord:
    return replace(replicate, number=-1 - replicate.number)
