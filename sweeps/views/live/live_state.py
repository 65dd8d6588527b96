"""The state of a sweep at one moment, reduced to the data that the live view shows."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass
from typing import Any

from sweeps.core.formatting import short_names
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.difference import Differences, changes_between
from sweeps.search.state import Measuring, SweepState
from sweeps.tasks.registry import task_of
from sweeps.tasks.values import short_value

NETWORK = "model.name"
ORDER = (NETWORK, "model.width", "optimizer.lr", "data.batch_size", "data.augmentation", "data.normalization")
"""Parameters that come first, because a line may be too short for all."""

MAX_CURVE = 20

WITHOUT_NAME = frozenset({NETWORK, "data.augmentation", "optimizer.name", "schedule.name"})
"""Parameters whose values are clear without the name."""

SEED = "seed"
ALWAYS = (NETWORK, "model.width", "data.batch_size", "optimizer.lr")
"""Parameters that are shown for every trial, after the differing ones."""
MAX_EPOCH_PROGRESS = 0.95
"""Shown progress of an epoch that takes longer than expected."""


@dataclass(frozen=True, kw_only=True)
class LiveTrial:
    """One trial."""

    name: str
    outcome: Outcome
    settings: str
    """Differing parameters, then common ones, separated by commas."""
    seed: int | None = None
    """None if the seeds do not differ, or if the name includes the seed."""
    epochs_done: int
    epochs: int
    """0 where only the training knows its last epoch."""
    epoch_progress: float | None = None
    """Estimated share of the present epoch, 0 to 1, from the duration of an earlier one; None without one."""
    curve: tuple[float | None, ...]
    """Metric after each of the last `MAX_CURVE` epochs."""
    seconds: float
    """Seconds since its start, or its duration after its end."""

    @property
    def value(self) -> float | None:
        return self.curve[-1] if self.curve else None


@dataclass(frozen=True, kw_only=True)
class LiveState:
    """A sweep at one moment."""

    title: str
    is_ladder: bool = False
    metric: str
    maximize: bool
    done: int
    target: int | None
    measuring: Measuring | None = None
    """Progress of the measurement on the test images, after the trials."""
    slots: int | None
    """Number of trials that can train at once; None if unknown."""
    elapsed: float
    """Seconds since this start."""
    seconds_left: float | None
    """Estimated seconds to the end; None if unknown."""
    time_left: str | None = None
    """What a time budget is spent on, and what is left; None without one."""
    limit: float | None
    """Time limit of this start in seconds; None without one."""
    best: LiveTrial | None
    running: tuple[LiveTrial, ...]
    """By start time."""
    ended: tuple[LiveTrial, ...]
    """The newest first, at most `Watcher.MAX_ENDED`."""
    is_running: bool = True
    """Whether a driver trains it."""
    is_paused: bool = False
    """Whether `sweeps pause` has paused it."""
    steering: tuple[str, ...] = ()
    """What commands such as `sweeps set` ask for, a sentence each."""
    selected: str | None = None
    """Name of the running trial that the keys of the view refer to; None without keys."""
    footer: str = ""
    """Line about the keys, or the reply to a command."""


class Watcher:
    """Computes the live state of a sweep repeatedly, and caches the parts that do not change."""

    MAX_ENDED = 50

    def __init__(self, state: SweepState) -> None:
        self.state = state
        self._differences = Differences()
        self._known_trials: set[str] = set()
        self._differing: tuple[str, ...] = ()
        self._settings: dict[str, str] = {}
        self._epoch_seconds: dict[str, float] = {}
        """Network → seconds of its last complete epoch."""

    def live_state(self, *, now: float | None = None) -> LiveState:
        """Return the present state.

        Args:
            now: Unix time in seconds; None for the present.
        """
        now = time.time() if now is None else now
        state, records = self.state, self.state.records
        if state.time_left is not None:
            records = state.records_and_replicates  # they are trained at the same time
        self._update_differences(records)
        running = [record for record in records if record.outcome is Outcome.RUNNING]
        newest = heapq.nlargest(
            self.MAX_ENDED,
            (record for record in records if record.outcome.is_final or record.outcome is Outcome.PAUSED),
            key=lambda record: (record.finished or 0.0, record.number),
        )
        best, measuring = state.best(), state.measuring
        return LiveState(
            title=state.title,
            is_ladder=any(record.rung is not None for record in records[:1]),
            metric=state.metric,
            maximize=state.maximize,
            done=state.done,
            target=state.target,
            measuring=measuring,
            slots=state.slots,
            elapsed=max(0.0, now - state.began),
            seconds_left=None if measuring is None and state.done == state.target else state.seconds_left(now),
            limit=state.limit,
            is_paused=state.is_paused,
            steering=tuple(state.steering),
            time_left=None if state.time_left is None else state.time_left.text(now),
            best=None if best is None else self._live_trial(best, now),
            running=tuple(
                self._live_trial(record, now)
                for record in sorted(running, key=lambda each: (each.started, each.number))
            ),
            ended=tuple(self._live_trial(record, now) for record in newest),
        )

    def _live_trial(self, record: TrialRecord, now: float) -> LiveTrial:
        settings = self._settings.get(record.key)
        if settings is None:
            settings, is_final = self._settings_of(record)
            if is_final:
                self._settings[record.key] = settings
        if record.epochs:
            self._epoch_seconds[task_of(record.config).label(record.config)] = record.epochs[-1].seconds
        last = record.epochs[-1].finished_at if record.epochs else record.started
        end = now if record.outcome is Outcome.RUNNING else record.finished or last
        return LiveTrial(
            name=record.name,
            outcome=record.outcome,
            settings=settings,
            epochs_done=len(record.epochs),
            seed=record.config.seed if self._shows_seed(record) else None,
            epochs=record.config.epochs,
            epoch_progress=self._epoch_progress(record, since=max(last, self.state.began), now=now),
            curve=tuple(epoch.value(self.state.metric) for epoch in record.epochs[-MAX_CURVE:]),
            seconds=max(0.0, end - record.started),
        )

    def _update_differences(self, records: list[TrialRecord]) -> None:
        """Update the differing parameters if there is a new trial."""
        new = [record for record in records if record.key not in self._known_trials]
        if not new:
            return
        for record in new:
            self._known_trials.add(record.key)
            self._differences.add(record.config.dotted())
        order = {path: index for index, path in enumerate(ORDER)}
        differing = tuple(sorted(self._differences.paths(), key=lambda path: (order.get(path, len(order)), path)))
        if differing != self._differing:
            self._differing, self._settings = differing, {}

    def _shows_seed(self, record: TrialRecord) -> bool:
        return SEED in self._differing and record.replicate_of is None  # the name of a replicate includes it

    def _epoch_progress(self, record: TrialRecord, *, since: float, now: float) -> float | None:
        """Return the estimated share of the present epoch, from the duration of the last one of this network."""
        expected = self._epoch_seconds.get(task_of(record.config).label(record.config))
        if record.outcome is not Outcome.RUNNING or not expected:
            return None
        return min(max(0.0, now - since) / expected, MAX_EPOCH_PROGRESS)

    def _settings_of(self, record: TrialRecord) -> tuple[str, bool]:
        """Return the settings of a trial, and whether they are final: a rung may start before its parent."""
        differing = tuple(path for path in self._differing if path != SEED)
        before = self._parent_of(record)
        if before is not None:
            changed = {change.path for change in changes_between(before.config, record.config)}
            differing = tuple(path for path in differing if path in changed)
        paths = tuple(dict.fromkeys((*differing, *ALWAYS)))
        values = record.config.dotted()
        settings = ", ".join(
            _setting_text(path, name, values[path])
            for name, path in zip(short_names(paths), paths, strict=True)
            if values.get(path) is not None
        )
        return settings, before is not None or record.rung is None or record.rung.parent is None

    def _parent_of(self, record: TrialRecord) -> TrialRecord | None:
        """Return a run of the parent rung; None if there is none yet."""
        if record.rung is None or record.rung.parent is None:
            return None
        named = (each for each in self.state.records if each.rung and each.rung.name == record.rung.parent)
        return next(named, None)


def _setting_text(path: str, name: str, value: Any) -> str:
    text = short_value(value)
    return text if path in WITHOUT_NAME and text != "none" else f"{name} {text}"
