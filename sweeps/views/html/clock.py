"""Wall time of a sweep without the pauses between its starts: a night between two of them is no training."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sweeps.core.trial import TrialRecord

PAUSE_SECONDS = 300.0
"""Time without any trial that is cut out at the least, where it is also a tenth of what remains."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """When a trial held a slot, in Unix seconds."""

    record: TrialRecord
    begin: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Seconds since the first trial began, pauses left out."""

    start: float
    pauses: tuple[tuple[float, float], ...]
    """Begin and end of each, in Unix seconds, in order."""
    end: float

    def at(self, moment: float) -> float:
        """Return the seconds at a Unix time."""
        passed = moment - self.start
        for begin, end in self.pauses[: bisect_right([begin for begin, _ in self.pauses], moment)]:
            passed -= min(moment, end) - begin
        return max(passed, 0.0)

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.at(self.end)


def spans_of(records: Iterable[TrialRecord], *, now: float | None) -> list[Span]:
    """Return when each trial held a slot, by its begin; what was taken over from elsewhere never did.

    Args:
        records: trials.
        now: where what has not ended ends; None takes its last epoch.
    """
    spans = []
    for record in records:
        if record.reused_from is not None:
            continue
        last = record.epochs[-1].finished_at if record.epochs else record.started
        end = record.finished if record.finished is not None else max(now or last, last)
        spans.append(Span(record=record, begin=record.started, end=max(end, record.started)))
    return sorted(spans, key=lambda span: (span.begin, span.record.number))


def clock_of(spans: Sequence[Span]) -> Clock:
    """Return the clock of a sweep: one without trials stands still."""
    if not spans:
        return Clock(start=0.0, pauses=(), end=0.0)
    busy = _training_periods(spans)
    trained = sum(end - begin for begin, end in busy)
    gaps = [(before[1], after[0]) for before, after in pairwise(busy)]
    pauses = tuple(gap for gap in gaps if gap[1] - gap[0] > max(PAUSE_SECONDS, 0.1 * trained))
    return Clock(start=busy[0][0], pauses=pauses, end=busy[-1][1])


def _training_periods(spans: Sequence[Span]) -> list[tuple[float, float]]:
    """Return when at least one trial trained: one that was interrupted rests between its epochs."""
    pieces = sorted(piece for span in spans for piece in training(span))
    joined: list[tuple[float, float]] = []
    for begin, end in pieces:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def training(span: Span) -> list[tuple[float, float]]:
    """Return when a trial did something: around its begin, its end and each epoch."""
    epochs = [(epoch.finished_at - epoch.seconds, epoch.finished_at) for epoch in span.record.epochs]
    return [(span.begin, span.begin), *epochs, (span.end, span.end)]


def lanes_of(spans: Sequence[Span]) -> list[list[Span]]:
    """Return lanes in which no two trials overlap, as few as there can be: each trial goes where one has just ended."""
    lanes: list[list[Span]] = []
    for span in spans:
        free = [lane for lane in lanes if lane[-1].end <= span.begin + 0.05]
        if free:
            max(free, key=lambda lane: lane[-1].end).append(span)
        else:
            lanes.append([span])
    return lanes


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the seconds of the unit that an axis of so many seconds is written in, and its name."""
    return next(
        ((s, name) for s, name in ((1.0, "seconds"), (60.0, "minutes")) if seconds < 180 * s), (3600.0, "hours")
    )
