"""The state of a sweep: its trials, the best one, the time left. From a running driver or from the journal."""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sweeps.core.errors import StoreError
from sweeps.core.formatting import duration, time_of_day
from sweeps.core.race import RaceState
from sweeps.core.steering import Command, Steering
from sweeps.core.trial import MeasuredOn, Outcome, TrialRecord
from sweeps.search.best import ConfigurationRanking, as_compared, configuration_of, final_value
from sweeps.store.folder import SweepFolder

if TYPE_CHECKING:
    import optuna


_PAUSED = Outcome.PAUSED
SEARCH, REPLICATES = "search", "replicates"
"""Parts of a sweep."""

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Progress of the evaluation on the test images, after training."""

    done: int
    of: int

    def __str__(self) -> str:
        return f"evaluating on the test images: {self.done} of {self.of}"


@dataclass(frozen=True, kw_only=True)
class TimeLeft:
    """The time budget of a sweep that runs."""

    budget: float
    """Seconds of the whole budget."""
    ends: float
    """Unix time of its end."""
    is_finishing: bool = False
    """Whether no new trial begins any more."""

    def text(self, now: float) -> str:
        """Return what is done and the time left, such as `searching, 3 min 5 s of 20 min left`."""
        doing = "completing and confirming the best" if self.is_finishing else "searching"
        return f"{doing}, {duration(max(0.0, self.ends - now))} of {duration(self.budget)} left"


@dataclass(frozen=True, kw_only=True)
class DriverState:
    """What the driver of a sweep has published; without a running driver, facts about the last one."""

    name: str | None = None
    """`process 12 on host`; None without a running driver."""
    title: str | None = None
    """Heading of what it trains; the sweep's name if None."""
    doing: str = "run"
    """Its operation on the sweep: "run", "finalized", "deleted"."""
    part: str = SEARCH
    """The part that it trains: the search or its replicates."""
    target: int | None = None
    """Number of trials at the end; None if only the space decides."""
    slots: int | None = None
    """Number of trials that train at once; None if unknown."""
    began: float | None = None
    """Unix time of the current start; now if None."""
    limit: float | None = None
    """Time limit of this start in seconds; None for no limit."""
    time_left: TimeLeft | None = None
    """None without a time budget."""
    is_paused: bool = False
    """Whether `sweeps pause` has paused it."""
    measuring: Measuring | None = None
    """Published progress on the test images; None if the records contain it."""
    died: bool = False
    """Whether the last driver ended without removing its note."""
    last_heartbeat: str | None = None
    """See `SweepFolder.last_heartbeat`."""


NO_DRIVER = DriverState()


class SweepState:
    """Summary of a sweep's records. It has no connection to the study: changes are added with `enter`.

    Values needed at each change, such as the best, are updated incrementally: a sweep may have ten thousand trials.
    """

    def __init__(
        self,
        *,
        sweep: str,
        metric: str,
        maximize: bool,
        records: Sequence[TrialRecord] = (),
        replicates: Sequence[TrialRecord] = (),
        runs: Path = Path(),
        race: RaceState | None = None,
        driver: DriverState = NO_DRIVER,
        damage: str | None = None,
        steering: Sequence[str] = (),
    ) -> None:
        """Create the state from the current records.

        Args:
            sweep: Name of the sweep.
            metric: Metric of the search, a field of `EpochResult`.
            maximize: Whether a larger value is better.
            records: Trials so far; ended ones count as done before this start.
            replicates: Replicates of the best configurations; not counted.
            runs: The runs folder, to which the paths of logs are relative.
            race: The race of the best configurations; None without one.
            driver: State of the driver.
            damage: Message if the journal is damaged and trials are missing; None otherwise.
            steering: What commands to the sweep ask for, in sentences.
        """
        self.sweep = sweep
        self.metric = metric
        self.maximize = maximize
        self._replicates = {record.key: record for record in replicates}
        self.runs, self.race = runs, race
        self.damage = damage
        self.steering, self.is_paused = steering, driver.is_paused
        self._driver = driver
        self.title = driver.title or sweep
        self.driver, self.doing, self.part, self.limit = driver.name, driver.doing, driver.part, driver.limit
        self.died, self.last_heartbeat = driver.died, driver.last_heartbeat
        self.target, self.slots = driver.target, driver.slots
        self.time_left = driver.time_left
        self._records: dict[int, TrialRecord] = {}
        self._ranking = ConfigurationRanking(metric=metric, maximize=maximize)
        self._counts: Counter[Outcome] = Counter()
        self._measurable: set[int] = set()
        self._measured: set[int] = set()
        self._phase: tuple[float, int] | None = None
        for record in records:
            self.enter(record)
        self.began = time.time() if driver.began is None else driver.began
        self._slots_since = self.began
        self._slot_seconds = 0.0
        self._done_before = sum(
            record.outcome.is_final and (driver.began is None or _end(record) < driver.began) for record in records
        )

    @property
    def records(self) -> list[TrialRecord]:
        """The trials in the order of proposal."""
        return [self._records[number] for number in sorted(self._records)]

    @property
    def replicates(self) -> list[TrialRecord]:
        """The replicates, which are not counted."""
        return list(self._replicates.values())

    @property
    def records_and_replicates(self) -> list[TrialRecord]:
        """The trials, then the replicates."""
        return [*self.records, *self.replicates]

    def enter(self, record: TrialRecord) -> bool:
        """Add or update a trial; return whether it has just ended or paused, False for a later update."""
        if record.replicate_of is not None and self.part == SEARCH:
            earlier = self._replicates.get(record.key)
            self._replicates[record.key] = record
            return record.outcome.is_final and not (earlier is not None and earlier.outcome.is_final)
        before = self._records.get(record.number)
        self._records[record.number] = record
        if before is not None:
            self._counts[before.outcome] -= 1
        self._counts[record.outcome] += 1
        if record.rung is None:
            self._ranking.enter(record)
        self._note_measuring(record)
        was = None if before is None else before.outcome
        if record.outcome is _PAUSED:
            return was is not _PAUSED
        return record.outcome.is_final and (was is None or not (was.is_final or was is _PAUSED))

    def _note_measuring(self, record: TrialRecord) -> None:
        if record.rung is None or record.rung.measured_on is not MeasuredOn.TEST:
            return
        if record.outcome is Outcome.COMPLETE:
            self._measurable.add(record.number)
        if record.test is not None:
            self._measured.add(record.number)
        if self.measuring is None:
            self._phase = None
        elif self._phase is None:
            self._phase = time.time(), len(self._measured)

    @property
    def measuring(self) -> Measuring | None:
        """Progress on the test images once all trials are trained; None before, and when it is finished."""
        if self._driver.measuring is not None:
            return self._driver.measuring
        is_trained = self.target is not None and self.done >= max(self.target, len(self._records))
        if not is_trained or len(self._measured) == len(self._measurable):
            return None
        return Measuring(done=len(self._measured), of=len(self._measurable))

    def set_slots(self, slots: int, *, now: float | None = None) -> None:
        """Change the number of slots from now on."""
        now = time.time() if now is None else now
        self._slot_seconds += (now - self._slots_since) * (self.slots or 1)
        self._slots_since = now
        self.slots = slots

    def value(self, record: TrialRecord) -> float | None:
        """Return the metric of a trial's last epoch; None before its first."""
        return final_value(record, self.metric)

    def best(self) -> TrialRecord | None:
        """Return the first complete trial of the best configuration; None for a ladder, which does not rank."""
        first = self._ranking.first()
        return None if first is None else self._ranking.trials(first)[0]

    def best_value(self) -> float | None:
        """Return the value of `best`: the mean of the metric over its configuration's seeds in the search."""
        first = self._ranking.first()
        return None if first is None else self._ranking.mean(first)

    def new_seeds(self) -> list[TrialRecord]:
        """Return the replicates under seeds that the search did not use for their configuration."""
        used = {(configuration_of(record), record.config.seed) for record in self._records.values()}
        return [record for record in self.replicates if (configuration_of(record), record.config.seed) not in used]

    def confirmed(self) -> tuple[TrialRecord, float, int] | None:
        """Return the best confirmed configuration: its first replicate, the mean of its new seeds, their number."""
        again = map(as_compared, self.new_seeds())
        ranking = ConfigurationRanking(metric=self.metric, maximize=self.maximize, records=again)
        first = ranking.first()
        if first is None:
            return None
        trials = ranking.trials(first)
        return trials[0], ranking.mean(first), len(trials)

    def counts(self) -> dict[Outcome, int]:
        """Return the number of trials per outcome, without zeros."""
        return {outcome: count for outcome, count in self._counts.items() if count}

    def active_part(self) -> SweepState:
        """Return the state of the part that the driver trains: the search or its replicates."""
        if self.part != REPLICATES:
            return self
        return SweepState(
            sweep=self.sweep,
            metric=self.metric,
            maximize=self.maximize,
            records=self.replicates,
            runs=self.runs,
            driver=replace(
                self._driver, title=f"{self.sweep} {REPLICATES}", target=self.target, slots=self.slots, began=self.began
            ),
        )

    @property
    def done(self) -> int:
        """Number of ended and paused trials."""
        # Copied, since another thread may draw while a trial ends.
        return sum(count for outcome, count in list(self._counts.items()) if outcome.is_final or outcome is _PAUSED)

    def seconds_left(self, now: float | None = None) -> float | None:
        """Return the estimated seconds to the end; None before enough trials have ended since this start."""
        now = time.time() if now is None else now
        if (measuring := self.measuring) is not None:
            return self._measuring_left(measuring, now)
        fresh = self.done - self._done_before
        if self.target is None or fresh < max(2, self.slots or 1):
            return None
        slots = self.slots or 1
        spent = self._slot_seconds + (now - self._slots_since) * slots
        return spent / fresh * (self.target - self.done) / slots

    def _measuring_left(self, measuring: Measuring, now: float) -> float | None:
        if self._phase is None:
            return None
        since, before = self._phase
        fresh = measuring.done - before
        return None if fresh < 1 else (now - since) / fresh * (measuring.of - measuring.done)

    def last_change(self) -> float | None:
        """Return the Unix time of the last epoch or end of a trial; None if there is none."""
        times = [record.epochs[-1].finished_at for record in self.records_and_replicates if record.epochs]
        times += [record.finished for record in self.records_and_replicates if record.finished]
        return max(times, default=None)


def read_state(runs: Path, sweep: str) -> SweepState:
    """Return the state of a sweep from its journal, also while a driver runs it; see its `damage`.

    Raises:
        NoSuchSweepError: There is no sweep of this name.
        DamagedJournalError: Nothing in its journal can be read.
    """
    from sweeps.search.opening import read_studies
    from sweeps.search.stored_trials import ENDED_BECAUSE, read_records

    folder = SweepFolder(runs, sweep)
    studies = read_studies(folder)
    study = studies.search
    driver = folder.driver()
    of_replicates = studies.replicates is not None and driver is not None and driver.get("part") == REPLICATES
    steered = studies.replicates if of_replicates and studies.replicates is not None else study
    steering = Steering(steered.user_attrs)

    def records(of: optuna.Study) -> list[TrialRecord]:
        found = read_records(of, sweep=sweep)
        # Trials that are open in the journal are being trained by the running driver.
        return [_as_running(record) for record in found] if driver else list(found)

    return SweepState(
        sweep=sweep,
        metric=study.user_attrs.get("metric", "val_accuracy"),
        maximize=study.direction.name == "MAXIMIZE",
        records=records(study),
        replicates=[] if studies.replicates is None else records(studies.replicates),
        runs=runs,
        race=_race(studies.replicates),
        driver=replace(_driver_state(folder, driver), is_paused=steering.is_paused),
        steering=[
            *steering_sentences(steering, steered, folder, sweep=sweep),
            *([] if driver or not (ended := study.user_attrs.get(ENDED_BECAUSE)) else [ended]),
        ],
        damage=None if studies.damage is None else str(studies.damage),
    )


def _race(replicates: optuna.Study | None) -> RaceState | None:
    from sweeps.search.stored_trials import RACE

    stored = None if replicates is None else replicates.user_attrs.get(RACE)
    return None if stored is None else RaceState.of(stored)


def steering_sentences(steering: Steering, study: optuna.Study, folder: SweepFolder, *, sweep: str) -> list[str]:
    """Return what commands ask for in words, with those that no driver has applied yet."""
    from sweeps.search.stored_trials import ASKED, name_in_record
    from sweeps.store.command_queue import command_queue

    found = []
    if steering.added:
        asked = {trial.user_attrs.get(ASKED) for trial in study.get_trials(deepcopy=False)}
        pending = sum(each.id not in asked for each in steering.added)
    else:
        pending = 0
    found += steering.sentences(pending=pending, clock=time_of_day)
    with contextlib.suppress(StoreError):
        commands = (Command.read(stored) for stored in command_queue(folder).new())
        name = name_in_record(study)
        waiting = [each for each in commands if each.study == name and not steering.knows(each)]
        found += [f"not applied yet: {command.text(sweep)}" for command in waiting]
    return found


def _driver_state(folder: SweepFolder, info: Mapping[str, Any] | None) -> DriverState:
    """Return the state of a sweep's driver from what it has published."""
    if info is None:
        return DriverState(died=folder.died, last_heartbeat=folder.last_heartbeat)
    return DriverState(
        name=f"process {info['pid']} on {info['host']}",
        doing=str(info.get("doing", "run")),
        part=str(info.get("part", SEARCH)),
        target=_number(info.get("target"), int),
        slots=_number(info.get("slots"), int),
        began=_number(info.get("began", info.get("since")), float),
        limit=_number(info.get("limit"), float),
        time_left=_time_left(info),
        measuring=_measuring(info),
        died=folder.died,
    )


def _time_left(info: Mapping[str, object]) -> TimeLeft | None:
    budget, ends = _number(info.get("budget"), float), _number(info.get("budget_ends"), float)
    if budget is None or ends is None:
        return None
    return TimeLeft(budget=budget, ends=ends, is_finishing=bool(info.get("finishing")))


def _measuring(info: Mapping[str, object]) -> Measuring | None:
    """Return the progress of a driver that only evaluates, as `sweeps finalize` does."""
    done, of = _number(info.get("measured"), int), _number(info.get("to_measure"), int)
    return None if done is None or of is None else Measuring(done=done, of=of)


def _number(value: object, kind: type[Number]) -> Number | None:
    """Return a published number; None if it is missing or invalid."""
    return kind(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _end(record: TrialRecord) -> float:
    return record.started if record.finished is None else record.finished


def _as_running(record: TrialRecord) -> TrialRecord:
    return replace(record, outcome=Outcome.RUNNING) if record.outcome is Outcome.INTERRUPTED else record


def sweep_names(runs: Path) -> list[str]:
    """Return the names of all sweeps in the runs folder, in alphabetical order."""
    folder = runs / "sweeps"
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if SweepFolder(runs, path.name).exists)
