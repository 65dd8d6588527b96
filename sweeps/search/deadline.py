"""Search until a deadline at which the best configuration is complete and confirmed.

A trial is begun only if it can end and, after it, the best trials can be completed and their replicates trained. These
durations are estimated from the epochs of the sweep. Once no other trial fits, the rest is carried out in that order:
the best trials to their last epoch, then their replicates, also while other trials still run.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sweeps.core.task import TaskConfig
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.settings import Metric, Replicates
from sweeps.search.best import Group, configuration_of
from sweeps.search.replicates import candidates_to_confirm
from sweeps.search.schedule import Reserve, Runs, Schedule

MARGIN = 0.02
"""Share of the budget that stays free when a trial is begun, so that small errors of an estimate do no harm."""
LEAST_MARGIN = 5.0
"""The same in seconds, at most a tenth of the budget: messages of trials may be late on a busy machine."""
SLACK = 0.15
"""Share of the reserve that stays free too: other programs may slow the last runs down."""
RECENT = 20
"""Number of starts from which the seconds between a start and its first epoch are estimated."""
PESSIMISTIC = 0.75
"""Quantile of the known durations that is expected of a configuration that has not trained yet."""
_RESUMABLE = (Outcome.RUNNING, Outcome.PAUSED, Outcome.INTERRUPTED)


class Gate(Protocol):
    """Decides which trials may start now. The ledger asks it before each start and after each epoch."""

    @property
    def is_over(self) -> bool:
        """Whether the time of the sweep is used up, so that a start has nothing to do."""
        ...

    def enter(self, record: TrialRecord) -> None:
        """Receive the new state of a trial."""
        ...

    def may_begin(self) -> bool:
        """Return whether a new trial may begin."""
        ...

    def may_continue(self, record: TrialRecord) -> bool:
        """Return whether a paused or interrupted trial may continue."""
        ...

    def finishing(self, *, is_closing: bool = False) -> Sequence[int]:
        """Return the trials to train to their last epoch, because there is no time for others; the best first.

        Args:
            is_closing: Whether no other trial can begin or continue, although there may be time for one.
        """
        ...

    def must_yield(self, record: TrialRecord) -> bool:
        """Return whether a running trial is interrupted after an epoch."""
        ...


class AlwaysOpen:
    """The gate of a sweep without a time budget."""

    is_over = False

    def enter(self, record: TrialRecord) -> None: ...

    def may_begin(self) -> bool:
        return True

    def may_continue(self, record: TrialRecord) -> bool:
        return True

    def finishing(self, *, is_closing: bool = False) -> Sequence[int]:
        return ()

    def must_yield(self, record: TrialRecord) -> bool:
        return False


@dataclass
class _Segment:
    """The part of a trial that runs now."""

    began: float
    """Time since which its slot was free."""
    last: float
    """Time of its start or of its last epoch."""
    epochs: int
    """Epochs of the trial at the start of the segment."""


class Deadline:
    """The gate of a sweep with a time budget. All times are seconds of its clock."""

    is_over = False

    def __init__(
        self,
        until: float,
        *,
        clock: Callable[[], float],
        budget: float,
        slots: int,
        epochs: int,
        metric: Metric,
        milestones: Sequence[int] = (),
        replicates: Replicates | None = None,
    ) -> None:
        """Create it without any trial.

        Args:
            until: The end of the budget.
            clock: Returns the time now.
            budget: The whole budget, from which the margin follows.
            slots: Number of trials that train at once; it may be changed later.
            epochs: Epochs of a complete trial; 0 if unknown.
            metric: Metric of the search.
            milestones: Epochs after which a trial pauses; empty if none does.
            replicates: What confirms the best configurations; None if only the best is completed.
        """
        self._clock = clock
        self.set_end(until, budget=budget)
        self.slots = slots
        self._epochs, self._metric, self._milestones = epochs, metric, milestones
        self._wanted = Reserve(1, 0) if replicates is None else Reserve(replicates.top, replicates.seeds)
        self._planned: Reserve | None = None
        """What is kept free during the search; None before the first epoch."""
        self._settled: Reserve | None = None
        """What is carried out since no other trial fits; None before."""
        self._trials: dict[int, TrialRecord] = {}
        self._replicates: dict[int, TrialRecord] = {}
        self._segments: dict[tuple[bool, int], _Segment] = {}
        self._starts: list[float] = []
        """Seconds between the end of a run and the first step of the next one on its slot, in the order of time."""
        self._freed: list[float] = []
        """When the free slots became free."""
        self._places: dict[tuple[bool, int], list[tuple[float, int]]] = {}
        """Whether they are complete, and their epochs → value and number of the trials, the best first."""
        self._speeds: list[float] = []
        """Seconds of an epoch of each trial, ascending."""
        self._observed = self._reported = 0.0
        """Seconds between epochs as observed here, and as the trials reported them: saving and reporting take time."""
        self._speed_of: dict[Group, float] = {}
        self._searched: set[tuple[Group, int]] = set()
        """Configurations and seeds of the search."""

    def set_end(self, until: float, *, budget: float) -> None:
        """Change the end and the length of the budget."""
        self._until = until
        self._margin = max(MARGIN * budget, min(LEAST_MARGIN, budget / 10))

    @property
    def left(self) -> float:
        """Seconds until the end; negative after it."""
        return self._until - self._clock()

    @property
    def is_finishing(self) -> bool:
        """Whether no new trial begins any more: the best are completed and confirmed."""
        return self._settled is not None

    @property
    def reserved(self) -> float:
        """Estimated seconds from now to complete and confirm the best on all slots; 0 before the first epoch."""
        schedule = self._schedule()
        reserve = self._settled or schedule.affordable()
        return 0.0 if reserve is None or self._expected_speed() is None else schedule.end(reserve)

    def enter(self, record: TrialRecord) -> None:
        """Receive the new state of a trial of the search or of a replicate."""
        is_replicate = record.replicate_of is not None
        of = self._replicates if is_replicate else self._trials
        before, place = of.get(record.number), (is_replicate, record.number)
        of[record.number] = record
        if not is_replicate:
            self._sort(record, before)
        now = self._clock()
        if record.outcome is not Outcome.RUNNING:
            if self._segments.pop(place, None) is not None:
                self._freed.append(now)
            return
        if place not in self._segments:
            freed = self._freed.pop() if self._freed else now
            self._segments[place] = _Segment(freed, now, len(record.epochs))
        segment = self._segments[place]
        if before is not None and len(record.epochs) > len(before.epochs):
            if len(record.epochs) == segment.epochs + 1:
                self._starts.append(max(0.0, now - segment.began - record.epochs[-1].seconds))
            else:
                self._observed += now - segment.last
                self._reported += record.epochs[-1].seconds
            segment.last = now

    def _sort(self, record: TrialRecord, before: TrialRecord | None) -> None:
        """Update what is known of all trials after a change of one, so that no decision reads all of them."""
        self._searched.add((configuration_of(record), record.config.seed))
        if before is not None and (place := self._place(before)) is not None:
            trials = self._places[place]
            del trials[bisect.bisect_left(trials, self._key(before))]
        if (place := self._place(record)) is not None:
            bisect.insort(self._places.setdefault(place, []), self._key(record))
        if record.epochs and (before is None or len(record.epochs) != len(before.epochs)):
            if before is not None and before.epochs:
                del self._speeds[bisect.bisect_left(self._speeds, _speed(before))]
            bisect.insort(self._speeds, _speed(record))
            self._speed_of[configuration_of(record)] = _speed(record)

    def _place(self, record: TrialRecord) -> tuple[bool, int] | None:
        """Return where a trial is compared with others; None if it cannot be the best."""
        is_complete = record.outcome is Outcome.COMPLETE
        if not record.epochs or not (is_complete or record.outcome in (*_RESUMABLE, Outcome.PRUNED)):
            return None
        return is_complete, len(record.epochs)

    def _key(self, record: TrialRecord) -> tuple[float, int]:
        value = record.epochs[-1].value(self._metric.name)
        if value is None or not math.isfinite(value):
            return math.inf, record.number
        return (-value if self._metric.goal == "maximize" else value), record.number

    def may_begin(self) -> bool:
        """Return whether a new trial fits: to its first milestone, or to its end if it does not pause.

        Once the best are completed and confirmed, one fits only if there is time to confirm others instead, as after
        a first epoch that was slow.
        """
        speed = self._expected_speed()
        if speed is None or not self._length(None):
            return self.left > 0
        seconds = self._start_seconds() + self._goal(0, self._length(None)) * speed
        if self._settled is None:
            return self._fits(seconds)
        if self._schedule().end(self._wanted, first=seconds, unconfirmed=True) > self.left - self._margin:
            return False
        self._settled = None
        return True

    def may_continue(self, record: TrialRecord) -> bool:
        """Return whether a paused or interrupted trial may continue: to its next milestone, or to its end."""
        if record.replicate_of is not None or record.number in self.finishing():
            fits = self._start_seconds() + self._to_end(record) <= self.left
            return fits and (record.replicate_of is None or self._is_wanted(record))
        return not self.is_finishing and self._fits(self._start_seconds() + self._segment_left(record))

    def finishing(self, *, is_closing: bool = False) -> Sequence[int]:
        """Return the trials to train to their last epoch, because no new one fits or can begin; the best first."""
        if not is_closing and self.may_begin():
            return ()
        if self._settled is None:
            self._settled = self._schedule().affordable() or Reserve(1, 0)
        return [each.number for each in self.best(self._settled.top) if each.outcome in _RESUMABLE]

    def must_yield(self, record: TrialRecord) -> bool:
        """Return whether a running trial is interrupted, because it is slower than expected.

        One that is to be completed may take an epoch more than there is time; another must leave the reserve free.
        """
        if record.replicate_of is None:
            is_kept = record.number in {each.number for each in self.best((self._settled or self._wanted).top)}
        else:
            is_kept = self._is_wanted(record)
        if is_kept:
            return self._to_end(record) > max(0.0, self.left) + self._speed(record)
        rest = self._segment_left(record) if record.replicate_of is None else self._to_end(record)
        if rest > self.left:
            return True
        schedule = self._schedule(without=record)
        reserve = self._settled or Reserve(1, self._wanted.seeds)
        is_late = schedule.end(reserve, first=rest) > self.left
        return is_late and (record.replicate_of is not None or schedule.end(reserve) <= self.left)

    @property
    def is_past(self) -> bool:
        """Whether the end has passed, and no running trial is expected to end within one of its epochs."""
        running = [self._record(*place) for place in self._segments]
        return self.left <= -max(map(self._speed, running), default=0.0)

    def as_complete(self, record: TrialRecord) -> TrialRecord:
        """Return a trial as it will be if it can still be trained to its end in the search."""
        return replace(record, outcome=Outcome.COMPLETE) if record.outcome in _RESUMABLE else record

    def replicate_fits(self, config: TaskConfig, *, of: TrialRecord) -> bool:
        """Return whether a run of a configuration under another seed can end in time."""
        return self._start_seconds() + self._length(config) * self._speed(of) <= self.left

    def best(self, top: int) -> list[TrialRecord]:
        """Return a trial of each of the best configurations that are complete or can be completed in time."""
        able: list[TrialRecord] = []
        for (is_complete, _), keys in self._places.items():
            trials = (self._trials[number] for _, number in keys)
            if is_complete:
                able += trials
            else:
                fitting = (record for record in trials if self._to_end(record) <= self.left)
                able += (replace(record, outcome=Outcome.PRUNED) for record in itertools.islice(fitting, top))
        chosen = candidates_to_confirm(able, metric=self._metric, top=top)
        return [self._trials[record.number] for record in chosen]

    def _is_wanted(self, replicate: TrialRecord) -> bool:
        """Return whether a replicate confirms one of the best configurations."""
        return configuration_of(replicate) in map(configuration_of, self.best(self._wanted.top))

    # Durations

    def _length(self, config: TaskConfig | None) -> int:
        """Return the number of epochs of a complete run; 0 if unknown."""
        if config is not None and config.epochs:
            return config.epochs
        return self._epochs or max((epochs for is_complete, epochs in self._places if is_complete), default=0)

    def _goal(self, epochs: int, length: int) -> int:
        """Return the epoch at which a trial pauses or ends next."""
        return next((epoch for epoch in self._milestones if epochs < epoch < length), length)

    def _speed(self, record: TrialRecord) -> float:
        """Return the seconds of an epoch of a trial, those of its configuration if it has none yet."""
        known = _speed(record) if record.epochs else self._speed_of.get(configuration_of(record))
        return self._expected_speed() or 0.0 if known is None else known * self._slowdown

    def _expected_speed(self) -> float | None:
        """Return the seconds of an epoch that are expected of a new configuration; None before the first epoch."""
        return _pessimistic(self._speeds) * self._slowdown if self._speeds else None

    @property
    def _slowdown(self) -> float:
        return max(1.0, self._observed / self._reported) if self._reported else 1.0

    def _start_seconds(self) -> float:
        """Return the expected seconds between the end of a run and the first step of the next one."""
        # The first start on each slot is much slower: it starts a process and imports libraries.
        starts = self._starts[self.slots :][-RECENT:] or self._starts
        return statistics.median_high(starts) if starts else 0.0

    def _to_end(self, record: TrialRecord) -> float:
        """Return the seconds until a trial is complete. One that was stopped for good starts again."""
        done = 0 if record.outcome is Outcome.PRUNED else len(record.epochs)
        return max(0, self._length(record.config) - done) * self._speed(record)

    def _segment_left(self, record: TrialRecord) -> float:
        """Return the seconds until a trial pauses or ends."""
        done = len(record.epochs)
        return max(0, self._goal(done, self._length(record.config)) - done) * self._speed(record)

    # The schedule on all slots

    def _fits(self, seconds: float) -> bool:
        """Return whether a run of so many seconds fits before the reserve."""
        schedule = self._schedule()
        reserve = schedule.affordable(unconfirmed=True)
        # It never shrinks while the time runs out: what becomes free would be searched instead of confirmed.
        self._planned = max(filter(None, (self._planned, reserve)), default=None)
        if self._planned is None:
            return False
        slack = self._margin + SLACK * schedule.end(self._planned, unconfirmed=True)
        return schedule.end(self._planned, first=seconds, unconfirmed=True) <= self.left - slack

    def _record(self, is_replicate: bool, number: int) -> TrialRecord:
        return (self._replicates if is_replicate else self._trials)[number]

    def _schedule(self, *, without: TrialRecord | None = None) -> Schedule:
        """Return what the slots do, and what is still to be done for the best configurations.

        Args:
            without: A running trial whose slot counts as free.
        """
        best = self.best(self._wanted.top)
        kept = {record.number for record in best}
        left_out = None if without is None else (without.replicate_of is not None, without.number)
        busy = {place: self._busy(*place, kept=kept) for place in self._segments if place != left_out}
        start = self._start_seconds()
        seeds = self._new_seeds()
        rests, runs = [], []
        for record in best:
            is_open = record.outcome is not Outcome.COMPLETE and (False, record.number) not in busy
            rests.append(start + self._to_end(record) if is_open else 0.0)
            runs.append(
                Runs(start + self._length(record.config) * self._speed(record), seeds[configuration_of(record)])
            )
        full = start + self._length(None) * (self._expected_speed() or 0.0)
        unknown = self._wanted.top - len(best)
        return Schedule(
            left=self.left,
            wanted=self._wanted,
            busy=[*busy.values(), *[0.0] * (self.slots - len(busy))],
            kept_until=max((busy[place] for place in busy if place[0] or place[1] in kept), default=0.0),
            open_until=max((busy[place] for place in busy if not place[0] and place[1] not in kept), default=0.0),
            epoch=(self._expected_speed() or 0.0) if self.slots > 1 and self._wanted.seeds else 0.0,
            rests=[*rests, *[full] * unknown],
            runs=[*runs, *[Runs(full, 0)] * unknown],
        )

    def _busy(self, is_replicate: bool, number: int, *, kept: Collection[int]) -> float:
        """Return the seconds until a running trial frees its slot."""
        record, segment, now = self._record(is_replicate, number), self._segments[is_replicate, number], self._clock()
        seconds = self._to_end(record) if is_replicate or number in kept else self._segment_left(record)
        if len(record.epochs) > segment.epochs:
            return max(0.0, seconds - min(now - segment.last, self._speed(record)))
        return max(
            0.0, seconds + self._start_seconds() - min(now - segment.began, self._start_seconds() + self._speed(record))
        )

    def _new_seeds(self) -> Counter[Group]:
        """Return the number of complete and running replicates of each configuration under new seeds."""
        counted = (r for r in self._replicates.values() if r.outcome in (Outcome.COMPLETE, Outcome.RUNNING))
        groups = ((configuration_of(record), record.config.seed) for record in counted)
        return Counter(group for group, seed in groups if (group, seed) not in self._searched)


def _speed(record: TrialRecord) -> float:
    # The first epoch of a process is slower.
    return statistics.median_low([epoch.seconds for epoch in record.epochs])


def _pessimistic(ascending: Sequence[float]) -> float:
    return ascending[math.ceil(PESSIMISTIC * (len(ascending) - 1))]
