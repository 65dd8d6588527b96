"""How a sweep stands: its trials, the best so far, the time left. Of a running driver, or from its journal."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sweeps.core.trial import MeasuredOn, Outcome, TrialRecord
from sweeps.search.best import Standings, configuration_of, final_value
from sweeps.store.folder import SweepFolder

if TYPE_CHECKING:
    import optuna


SEARCH, REPLICATES = "search", "replicates"
"""What a driver trains."""

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How far the measuring on the test images is, after training."""

    done: int
    of: int

    def __str__(self) -> str:
        return f"measuring on the test images: {self.done} of {self.of}"


@dataclass(frozen=True, kw_only=True)
class DriverState:
    """What the driver of a sweep tells of itself; of a sweep that nobody runs, what is known of its last one."""

    name: str | None = None
    """`process 12 on host`; None where nobody runs it."""
    title: str | None = None
    """What it calls what it trains; the sweep's name where None."""
    doing: str = "run"
    """What it does with the sweep: "run", "finalized", "deleted"."""
    part: str = SEARCH
    """What it trains: the search, or what confirms it."""
    target: int | None = None
    """Trials it ends with, None where only the space decides."""
    slots: int | None = None
    """Trials that train at once; None where nobody says."""
    began: float | None = None
    """Unix time of the start that is under way; now where None."""
    limit: float | None = None
    """Seconds that this start may take; None for any."""
    measuring: Measuring | None = None
    """What it tells of it; None where the records say it."""
    died: bool = False
    """Whether the last driver ended without a farewell."""
    last_seen: str | None = None
    """Of a driver on another host that is assumed dead, when and where it gave its last sign."""


NOBODY = DriverState()
"""No driver has told anything."""


class SweepState:
    """What the records of a sweep add up to. Holds no connection to the study: whoever knows a change enters it.

    What is asked at every change, such as the best, is kept up to date: a sweep may have ten thousand trials.
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
        driver: DriverState = NOBODY,
        damage: str | None = None,
    ) -> None:
        """Take note of what is known now.

        Args:
            sweep: its name.
            metric: field of `EpochResult` that the search looks at.
            maximize: whether more of it is better.
            records: its trials so far; those that ended count as done before this start.
            replicates: what confirms its best configurations; no part of its counts.
            runs: the folder that the records' logs are named from.
            driver: what its driver tells.
            damage: why these are not all of its trials, and what to do about it; None where they are.
        """
        self.sweep = sweep
        self.metric = metric
        self.maximize = maximize
        self.replicates = replicates
        self.runs = runs
        self.damage = damage
        self._driver = driver
        self.title = driver.title or sweep
        self.driver, self.doing, self.part, self.limit = driver.name, driver.doing, driver.part, driver.limit
        self.died, self.last_seen = driver.died, driver.last_seen
        self.target, self.slots = driver.target, driver.slots
        self._records: dict[int, TrialRecord] = {}
        self._standings = Standings(metric=metric, maximize=maximize)
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
        """Its trials in the order of proposal."""
        return [self._records[number] for number in sorted(self._records)]

    @property
    def records_and_replicates(self) -> list[TrialRecord]:
        """Everything it trained, its replicates last."""
        return [*self.records, *self.replicates]

    def enter(self, record: TrialRecord) -> bool:
        """Take note of a change; return whether it is the trial's end (what follows, such as its test, is not)."""
        before = self._records.get(record.number)
        self._records[record.number] = record
        if before is not None:
            self._counts[before.outcome] -= 1
        self._counts[record.outcome] += 1
        if record.rung is None:
            self._standings.enter(record)
        self._note_measuring(record)
        return record.outcome.is_final and (before is None or not before.outcome.is_final)

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
        """How far it is with the test images where nothing else is left to do; None where that is not so."""
        if self._driver.measuring is not None:
            return self._driver.measuring
        is_trained = self.target is not None and self.done >= max(self.target, len(self._records))
        if not is_trained or len(self._measured) == len(self._measurable):
            return None
        return Measuring(done=len(self._measured), of=len(self._measurable))

    def count_slots(self, slots: int, *, now: float | None = None) -> None:
        """Take note that there are more slots from now on, or fewer."""
        now = time.time() if now is None else now
        self._slot_seconds += (now - self._slots_since) * (self.slots or 1)
        self._slots_since = now
        self.slots = slots

    def value(self, record: TrialRecord) -> float | None:
        """Return the metric of a trial's last epoch, None before its first."""
        return final_value(record, self.metric)

    def best(self) -> TrialRecord | None:
        """Return the first complete trial of the best configuration; of a ladder's rungs none: it chooses nothing."""
        first = self._standings.first()
        return None if first is None else self._standings.trials(first)[0]

    def best_value(self) -> float | None:
        """Return what `best` is the best by: the mean of the metric over its configuration's seeds in the search."""
        first = self._standings.first()
        return None if first is None else self._standings.mean(first)

    def new_seeds(self) -> list[TrialRecord]:
        """Return the replicates that confirm: not the runs under a seed that the search looked at for that one."""
        looked_at = {(configuration_of(record), record.config.seed) for record in self._records.values()}
        return [record for record in self.replicates if (configuration_of(record), record.config.seed) not in looked_at]

    def confirmed(self) -> tuple[TrialRecord, float, int] | None:
        """Return the best confirmed configuration: its first replicate, the mean of its new seeds, their number."""
        standings = Standings(metric=self.metric, maximize=self.maximize, records=self.new_seeds())
        first = standings.first()
        if first is None:
            return None
        trials = standings.trials(first)
        return trials[0], standings.mean(first), len(trials)

    def counts(self) -> dict[Outcome, int]:
        """Return how many trials there are of each outcome that one has."""
        return {outcome: count for outcome, count in self._counts.items() if count}

    def under_way(self) -> SweepState:
        """Return the state of what its driver trains: of its replicates where it confirms."""
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
        """Trials that ended."""
        # A list at once: another thread may draw while a trial ends.
        return sum(count for outcome, count in list(self._counts.items()) if outcome.is_final)

    def seconds_left(self, now: float | None = None) -> float | None:
        """Return the estimated seconds to the end, None before enough has finished since this start."""
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
        """Return the Unix time of the last epoch or end, None where nothing happened yet."""
        times = [record.epochs[-1].finished_at for record in self.records_and_replicates if record.epochs]
        times += [record.finished for record in self.records_and_replicates if record.finished]
        return max(times, default=None)


def read_state(runs: Path, sweep: str) -> SweepState:
    """Return how a sweep stands by its journal, also while a driver runs it; see its `damage`.

    Raises:
        NoSuchSweepError: there is none of this name.
        DamagedJournalError: its journal holds nothing that can be read.
    """
    from sweeps.search.opening import read_studies
    from sweeps.search.stored_trials import read_records

    folder = SweepFolder(runs, sweep)
    studies = read_studies(folder)
    study = studies.search
    driver = folder.driver()

    def records(of: optuna.Study) -> list[TrialRecord]:
        found = read_records(of, sweep=sweep)
        # What is open in the journal is being trained by the driver that holds the sweep.
        return [_as_running(record) for record in found] if driver else list(found)

    return SweepState(
        sweep=sweep,
        metric=study.user_attrs.get("metric", "val_accuracy"),
        maximize=study.direction.name == "MAXIMIZE",
        records=records(study),
        replicates=[] if studies.replicates is None else records(studies.replicates),
        runs=runs,
        driver=_driver_state(folder, driver),
        damage=None if studies.damage is None else str(studies.damage),
    )


def _driver_state(folder: SweepFolder, told: Mapping[str, Any] | None) -> DriverState:
    """Return what the driver of a sweep has told, if there is one."""
    if told is None:
        return DriverState(died=folder.died, last_seen=folder.last_seen)
    return DriverState(
        name=f"process {told['pid']} on {told['host']}",
        doing=str(told.get("doing", "run")),
        part=str(told.get("part", SEARCH)),
        target=_number(told.get("target"), int),
        slots=_number(told.get("slots"), int),
        began=_number(told.get("began", told.get("since")), float),
        limit=_number(told.get("limit"), float),
        measuring=_measuring(told),
        died=folder.died,
    )


def _measuring(about: Mapping[str, object]) -> Measuring | None:
    """Return what a driver that only measures, as `sweeps finalize` does, tells of it."""
    done, of = _number(about.get("measured"), int), _number(about.get("to_measure"), int)
    return None if done is None or of is None else Measuring(done=done, of=of)


def _number(found: object, kind: type[Number]) -> Number | None:
    """Return a fact of the driver's, None where it tells none."""
    return kind(found) if isinstance(found, int | float) and math.isfinite(found) else None


def _end(record: TrialRecord) -> float:
    return record.started if record.finished is None else record.finished


def _as_running(record: TrialRecord) -> TrialRecord:
    return replace(record, outcome=Outcome.RUNNING) if record.outcome is Outcome.INTERRUPTED else record


def sweep_names(runs: Path) -> list[str]:
    """Return the names of all sweeps under the runs folder, in alphabetical order."""
    folder = runs / "sweeps"
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if SweepFolder(runs, path.name).exists)
