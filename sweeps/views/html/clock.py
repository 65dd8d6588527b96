"""Wall time of a sweep without the pauses between its starts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sweeps.core.trial import TrialRecord

PAUSE_SECONDS = 300.0
"""Shortest pause that is removed, if it is also longer than a tenth of the training time."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Time in which a trial held a slot, in Unix seconds."""

    record: TrialRecord
    begin: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Seconds since the start of the first trial, without pauses."""

    start: float
    pauses: tuple[tuple[float, float], ...]
    """Start and end of each pause in Unix seconds, in order."""
    end: float

    def at(self, moment: float) -> float:
        """Return the seconds on this clock at a Unix time."""
        passed = moment - self.start
        for begin, end in self.pauses[: bisect_right([begin for begin, _ in self.pauses], moment)]:
            passed -= min(moment, end) - begin
        return max(passed, 0.0)

    @property
    def seconds(self) -> float:
        """Total seconds."""
        return self.at(self.end)


def spans_of(records: Iterable[TrialRecord], *, now: float | None) -> list[Span]:
    """Return the time in which each trial held a slot, by start. Reused trials held none.

    Args:
        records: trials.
        now: end of the running trials; None uses their last epoch.
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
    """Return the clock of a sweep. It stays at 0 without trials."""
    if not spans:
        return Clock(start=0.0, pauses=(), end=0.0)
    busy = _training_periods(spans)
    trained = sum(end - begin for begin, end in busy)
    gaps = [(before[1], after[0]) for before, after in pairwise(busy)]
    pauses = tuple(gap for gap in gaps if gap[1] - gap[0] > max(PAUSE_SECONDS, 0.1 * trained))
    return Clock(start=busy[0][0], pauses=pauses, end=busy[-1][1])


def _training_periods(spans: Sequence[Span]) -> list[tuple[float, float]]:
    """Return the periods in which at least one trial trained. An interrupted trial pauses between its epochs."""
    pieces = sorted(piece for span in spans for piece in active_periods(span))
    joined: list[tuple[float, float]] = []
    for begin, end in pieces:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def active_periods(span: Span) -> list[tuple[float, float]]:
    """Return the periods in which a trial was active: its start, its epochs and its end."""
    epochs = [(epoch.finished_at - epoch.seconds, epoch.finished_at) for epoch in span.record.epochs]
    return [(span.begin, span.begin), *epochs, (span.end, span.end)]


def lanes_of(spans: Sequence[Span]) -> list[list[Span]]:
    """Return the smallest number of lanes without overlapping trials. A trial takes the lane that became free last."""
    lanes: list[list[Span]] = []
    for span in spans:
        free = [lane for lane in lanes if lane[-1].end <= span.begin + 0.05]
        if free:
            max(free, key=lambda lane: lane[-1].end).append(span)
        else:
            lanes.append([span])
    return lanes


def time_unit(seconds: float) -> tuple[float, str]:
    """Return the unit for an axis of this length: its seconds and its name."""
    return next(
        ((s, name) for s, name in ((1.0, "seconds"), (60.0, "minutes")) if seconds < 180 * s), (3600.0, "hours")
    )
