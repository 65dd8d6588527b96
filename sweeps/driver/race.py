"""A race of the best configurations: seeds are trained one by one where they help most, until one is the best."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace

import optuna

from sweeps.analysis.race import Contender, Race, contenders_of
from sweeps.analysis.sequential import next_to_train
from sweeps.core.errors import SweepError
from sweeps.core.race import RaceState
from sweeps.core.task import LAST_SEED, TaskConfig
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.parameter import Assignment
from sweeps.files.settings import Confirm, Metric
from sweeps.search.best import configuration_of
from sweeps.search.deadline import Deadline
from sweeps.search.proposers import Proposal
from sweeps.search.state import TimeLeft
from sweeps.search.stored_trials import RACE

SAVE_SECONDS = 5.0
"""Interval between two writings of the seconds spent. A killed driver loses at most these."""
OVERHEAD = 3.0
"""Seconds of a run in addition to its epochs, before one was measured."""


_Run = tuple[str, int]
"""Id of a configuration, and a seed."""


class RaceTime:
    """The time of a race over all its starts, stored in the study of the replicates."""

    def __init__(self, settings: Confirm, study: optuna.Study, *, examples: int, began: float | None) -> None:
        """Read what earlier starts have spent.

        Args:
            settings: Of the race.
            study: The study of the replicates.
            examples: Examples of the confirmation part; 0 without one.
            began: Value of `time.monotonic()` from which the time counts; None for the first run of this start.
        """
        before = study.user_attrs.get(RACE, {})
        self._study, self._began, self._saved = study, began, time.monotonic()
        self._before = RaceState(
            top=settings.top,
            until=settings.until,
            at_most=settings.at_most,
            examples=examples,
            spent=float(before.get("spent", 0.0)),
            ended=float(before.get("ended", 0.0)),
        )

    @property
    def state(self) -> RaceState:
        """The settings, and the time spent until now."""
        passed = 0.0 if self._began is None or self._before.is_used_up else time.monotonic() - self._began
        return replace(self._before, spent=self._before.spent + passed)

    @property
    def left(self) -> float:
        """Seconds that are left; negative after the end."""
        state = self.state
        return state.at_most - state.spent

    @property
    def time_left(self) -> TimeLeft:
        """What the views show."""
        return TimeLeft(budget=self._before.at_most, ends=time.time() + self.left, is_finishing=True)

    def begin(self) -> None:
        """Begin to count the time, unless it counts."""
        self._began = time.monotonic() if self._began is None else self._began

    def save(self, *, is_due: bool = True) -> None:
        """Store settings and time, if this is due or some seconds have passed."""
        if is_due or time.monotonic() - self._saved > SAVE_SECONDS:
            self._saved = time.monotonic()
            self._study.set_user_attr(RACE, asdict(self.state))

    def end(self, *, is_used_up: bool) -> None:
        """Store settings and time, and whether no further run fits."""
        if is_used_up:
            state = self.state
            self._before, self._began = replace(state, ended=state.at_most), None
        self.save()


class RacingReplicates:
    """Proposes the runs of a race one by one, and decides whether there is time for them: proposer and gate."""

    searches = False

    def __init__(
        self,
        race_time: RaceTime,
        metric: Metric,
        *,
        chosen: Callable[[], Sequence[TrialRecord]],
        search: Callable[[], Sequence[TrialRecord]],
        used_seeds: Callable[[], Iterable[int]],
        deadline: Deadline | None = None,
        retries: bool = False,
    ) -> None:
        """Create it without any run.

        Args:
            race_time: Settings and time.
            metric: Metric of the search.
            chosen: Returns one trial of each configuration of the race, the most promising first.
            search: Returns all trials of the search.
            used_seeds: Returns the seeds that the search has used or may use.
            deadline: The time budget of the whole sweep; None without one.
            retries: Whether failed runs are tried again in this start.
        """
        self.time, self._metric, self._deadline = race_time, metric, deadline
        self._chosen, self._search, self._used_seeds = chosen, search, used_seeds
        self._retries = retries
        self._runs: dict[_Run, TrialRecord] = {}
        """A failed run that is tried again replaces it."""
        self._began = time.time()

    def race(self) -> Race:
        """Return the race as far as it has got."""
        state = self.time.state
        found = contenders_of(
            self._chosen(),
            search=self._search(),
            replicates=self._runs.values(),
            metric=self._metric.name,
            examples=state.examples,
        )
        return Race(contenders=found, state=state, metric=self._metric.name, maximize=self._metric.goal == "maximize")

    # The proposer

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Assignment | None = None) -> Proposal | None:
        contender = self._next()
        if contender is None:
            return None
        self.time.begin()
        return Proposal(
            trial=study.ask(),
            config=self._with_new_seed(contender),
            replicate_of=contender.record.trial,
            confirm_until=self.time.state.until,
        )

    def total(self) -> int | None:
        return None

    def concerns(self, key: str) -> bool:
        return True

    def _next(self) -> Contender | None:
        """Return the configuration whose next seed is trained; None if it is decided, or there is no time."""
        race = self.race()
        able = {each.record.trial: each for each in race.able}
        fitting = [trial for trial, each in able.items() if self._full_seconds(each) <= self._left]
        if race.is_decided or not fitting:
            return None
        sign = -1 if race.maximize else 1
        chosen = next_to_train(
            {trial: each.values for trial, each in able.items()},
            running={trial: each.running for trial, each in able.items()},
            seconds={trial: self._full_seconds(each) for trial, each in able.items()},
            # The order of the search, by expected value if there is one, else by its metric.
            expected={trial: float(sign * place) for place, trial in enumerate(able)},
            able=fitting,
            maximize=race.maximize,
        )
        return able[chosen]

    def _with_new_seed(self, contender: Contender) -> TaskConfig:
        """Return the configuration under the first new seed that it has not been trained under."""
        seed = max((*self._used_seeds(), contender.record.config.seed), default=0)
        while seed < LAST_SEED:
            seed += 1
            if (contender.record.config_id, seed) not in self._runs:
                return contender.record.config.model_copy(update={"seed": seed})
        raise SweepError(f"the race needs seeds above {LAST_SEED}, the largest. Use smaller seeds in the sweep file.")

    # The gate

    @property
    def is_over(self) -> bool:
        """Whether a start has nothing to do."""
        if self._is_retrying:
            return False
        return self.time.state.is_used_up or self.race().is_decided

    def enter(self, record: TrialRecord) -> None:
        self._runs[record.config_id, record.config.seed] = record
        if self._deadline is not None:
            self._deadline.enter(record)

    def may_begin(self) -> bool:
        return self._is_retrying or self._next() is not None

    @property
    def _is_retrying(self) -> bool:
        """Whether failed runs of earlier starts are still to be tried again."""
        failed_before = (
            run.outcome is Outcome.FAILED and (run.finished or 0.0) < self._began for run in self._runs.values()
        )
        return self._retries and self._left > 0 and any(failed_before)

    def may_continue(self, record: TrialRecord) -> bool:
        race = self.race()
        wanted = {configuration_of(each.record) for each in race.able}
        if race.is_decided or configuration_of(record) not in wanted:
            return False
        return self._rest(record) + self._overhead <= self._left

    def finishing(self, *, is_closing: bool = False) -> Sequence[int]:
        return ()

    def must_yield(self, record: TrialRecord) -> bool:
        self.time.save(is_due=False)
        return self._rest(record) > max(0.0, self._left) + self._epoch_seconds(record)

    # Durations

    @property
    def _left(self) -> float:
        return self.time.left if self._deadline is None else min(self.time.left, self._deadline.left)

    @property
    def _overhead(self) -> float:
        """Expected seconds of a run in addition to its epochs: its start, and its measurement at the end."""
        found = [
            run.finished - run.started - run.train_seconds
            for run in self._runs.values()
            if run.finished is not None and run.started > self._began and run.reused_from is None
        ]
        return max(0.0, statistics.median(found)) if found else OVERHEAD

    def _full_seconds(self, contender: Contender) -> float:
        record = contender.record
        return self._overhead + (record.config.epochs or len(record.epochs)) * self._epoch_seconds(record)

    def _epoch_seconds(self, record: TrialRecord) -> float:
        """Return the seconds of an epoch of a configuration, from its newest run with an epoch."""
        of_same = (run for run in self._runs.values() if configuration_of(run) == configuration_of(record))
        known = [run for run in (record, *of_same) if run.epochs]
        # The first epoch of a process is slower.
        return statistics.median_low([epoch.seconds for epoch in known[-1].epochs]) if known else 0.0

    def _rest(self, record: TrialRecord) -> float:
        length = record.config.epochs or max((len(run.epochs) for run in self._runs.values()), default=0)
        return max(0, length - len(record.epochs)) * self._epoch_seconds(record)
