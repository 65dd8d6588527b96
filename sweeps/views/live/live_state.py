"""What is seen of a sweep at a moment: plain facts, made of its state, whoever holds it."""

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
FIRST = (NETWORK, "model.width", "optimizer.lr", "data.batch_size", "data.augmentation", "data.normalization")
"""What distinguishes trials most, first: a line may have room for a few words only."""

MAX_CURVE = 20

WITHOUT_NAME = frozenset({NETWORK, "data.augmentation", "optimizer.name", "schedule.name"})
"""Parameters whose values say by themselves what they are of; a number never does."""

SEED = "seed"
ALWAYS = (NETWORK, "model.width", "data.batch_size", "optimizer.lr")
"""Shown of every trial, after what distinguishes it."""
MAX_EPOCH_PROGRESS = 0.95
"""Of an epoch: what is shown of one that takes longer than expected."""


@dataclass(frozen=True, kw_only=True)
class LiveTrial:
    """One trial."""

    name: str
    outcome: Outcome
    words: str
    """What distinguishes it from the others, in a few words; after it what they share."""
    seed: int | None = None
    """Distinguishes a trial from the others."""
    epochs_done: int
    epochs: int
    epoch_progress: float | None = None
    """Share of the epoch under way, as far as the epochs before it let expect; None where there is none to go by."""
    curve: tuple[float | None, ...]
    """The metric after each of its last epochs, at most `MAX_CURVE` of them."""
    seconds: float
    """Since it began; of one that ended, how long it took."""

    @property
    def value(self) -> float | None:
        return self.curve[-1] if self.curve else None


@dataclass(frozen=True, kw_only=True)
class LiveState:
    """A sweep at a moment."""

    title: str
    is_ladder: bool = False
    metric: str
    maximize: bool
    done: int
    target: int | None
    measuring: Measuring | None = None
    """What is left to do, once all trials have ended."""
    slots: int | None
    """Trials that can train at once; None where nobody says."""
    elapsed: float
    """Seconds since this start."""
    left: float | None
    """Estimated seconds to the end; None where it cannot be told yet."""
    limit: float | None
    """Seconds that this start may take in all; None for any."""
    best: LiveTrial | None
    running: tuple[LiveTrial, ...]
    """In the order of their beginning."""
    ended: tuple[LiveTrial, ...]
    """The newest first; at most as many as a high screen shows."""


class Watcher:
    """Looks at a sweep's state again and again; what is the same at every look is found once."""

    MAX_ENDED = 50

    def __init__(self, state: SweepState) -> None:
        self.state = state
        self._differences = Differences()
        self._known_trials: set[int] = set()
        self._differing: tuple[str, ...] = ()
        self._words: dict[int, str] = {}
        self._epoch_seconds: dict[str, float] = {}
        """Of the last epoch that ended of each network."""

    def look(self, *, now: float | None = None) -> LiveState:
        """Return what is seen now.

        Args:
            now: Unix time in seconds; the clock's where None.
        """
        now = time.time() if now is None else now
        state, records = self.state, self.state.records
        self._update_differences(records)
        running = [record for record in records if record.outcome is Outcome.RUNNING]
        newest = heapq.nlargest(
            self.MAX_ENDED,
            (record for record in records if record.outcome.is_final),
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
            left=None if measuring is None and state.done == state.target else state.seconds_left(now),
            limit=state.limit,
            best=None if best is None else self._seen(best, now),
            running=tuple(
                self._seen(record, now) for record in sorted(running, key=lambda each: (each.started, each.number))
            ),
            ended=tuple(self._seen(record, now) for record in newest),
        )

    def _seen(self, record: TrialRecord, now: float) -> LiveTrial:
        words = self._words.get(record.number)
        if words is None:
            words, is_final = self._words_of(record)
            if is_final:
                self._words[record.number] = words
        if record.epochs:
            self._epoch_seconds[task_of(record.config).label(record.config)] = record.epochs[-1].seconds
        last = record.epochs[-1].finished_at if record.epochs else record.started
        end = now if record.outcome is Outcome.RUNNING else record.finished or last
        return LiveTrial(
            name=record.name,
            outcome=record.outcome,
            words=words,
            epochs_done=len(record.epochs),
            seed=record.config.seed if self._shows_seed(record) else None,
            epochs=record.config.epochs,
            epoch_progress=self._within(record, since=max(last, self.state.began), now=now),
            curve=tuple(epoch.value(self.state.metric) for epoch in record.epochs[-MAX_CURVE:]),
            seconds=max(0.0, end - record.started),
        )

    def _update_differences(self, records: list[TrialRecord]) -> None:
        """Find the parameters in which trials differ, again where there is a new one."""
        fresh = [record for record in records if record.number not in self._known_trials]
        if not fresh:
            return
        for record in fresh:
            self._known_trials.add(record.number)
            self._differences.add(record.config.dotted())
        order = {path: index for index, path in enumerate(FIRST)}
        differing = tuple(sorted(self._differences.paths(), key=lambda path: (order.get(path, len(order)), path)))
        if differing != self._differing:
            self._differing, self._words = differing, {}

    def _shows_seed(self, record: TrialRecord) -> bool:
        return SEED in self._differing and record.replicate_of is None  # whose name has it

    def _within(self, record: TrialRecord, *, since: float, now: float) -> float | None:
        """Return how much of the epoch under way has passed, by the time that the one before took."""
        expected = self._epoch_seconds.get(task_of(record.config).label(record.config))
        if record.outcome is not Outcome.RUNNING or not expected:
            return None
        return min(max(0.0, now - since) / expected, MAX_EPOCH_PROGRESS)

    def _words_of(self, record: TrialRecord) -> tuple[str, bool]:
        """Return what is shown of a trial, and whether that stays so: a rung may begin before the one it changes."""
        differing = tuple(path for path in self._differing if path != SEED)
        before = self._parent_of(record)
        if before is not None:
            changed = {change.path for change in changes_between(before.config, record.config)}
            differing = tuple(path for path in differing if path in changed)
        paths = tuple(dict.fromkeys((*differing, *ALWAYS)))
        values = record.config.dotted()
        words = ", ".join(
            _setting_text(path, name, values[path])
            for name, path in zip(short_names(paths), paths, strict=True)
            if values.get(path) is not None
        )
        return words, before is not None or record.rung is None or record.rung.parent is None

    def _parent_of(self, record: TrialRecord) -> TrialRecord | None:
        """Return a run of the rung that a ladder's run is a change of; None where there is none yet."""
        if record.rung is None or record.rung.parent is None:
            return None
        named = (each for each in self.state.records if each.rung and each.rung.name == record.rung.parent)
        return next(named, None)


def _setting_text(path: str, name: str, value: Any) -> str:
    text = short_value(value)
    return text if path in WITHOUT_NAME and text != "none" else f"{name} {text}"
