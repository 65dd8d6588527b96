"""What a sweep's own run says as its trials end: the best so far, how many ended how, and when the work was done.

Pure: it calls no store.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record.child_run import end_ms
from sweeps.record.mapping import MetricPoint

ENDED = "trials_ended"
"""The metric that counts them; its highest step says how much of the curve is there."""

_COUNTED = (Outcome.COMPLETE, Outcome.PRUNED, Outcome.DIVERGED, Outcome.FAILED)


@dataclass(frozen=True)
class Aim:
    """The metric that a search looks at."""

    metric: str
    maximize: bool


class SweepProgress:
    """Follows a study's trials to their ends.

    Args:
        aim: what the best is the best by; None where nothing is searched.
        written: how many ends the run told of when it was found.
    """

    def __init__(self, aim: Aim | None, *, written: int = 0) -> None:
        self._aim = aim
        self._written = written
        self._outcomes: dict[str, Outcome] = {}
        self._counts: Counter[Outcome] = Counter()
        self._best: float | None = None
        self.last_end_ms: int | None = None
        """When the last trial ended or was interrupted; None before the first."""

    def take(self, record: TrialRecord) -> Sequence[MetricPoint]:
        """Return what an ended trial adds to the curves; nothing where the run says it already."""
        if record.outcome is Outcome.INTERRUPTED and record.epochs:
            self.last_end_ms = max(end_ms(record), self.last_end_ms or 0)
        if record.outcome not in _COUNTED or self._outcomes.get(record.key) is record.outcome:
            return []
        before = self._outcomes.get(record.key)
        is_first = before is None
        if before is not None:
            self._counts[before] -= 1
        self._counts[record.outcome] += 1
        self._outcomes[record.key] = record.outcome
        self.last_end_ms = max(end_ms(record), self.last_end_ms or 0)
        self._best = self._better(record)
        step = len(self._outcomes)
        # One that failed and was tried again, under another number, ends a second time: its step is told anew.
        if is_first and step <= self._written:
            return []
        counted = {f"trials_{outcome.value}": float(self._counts[outcome]) for outcome in _COUNTED}
        values = {ENDED: float(step)} | counted
        if self._aim is not None and self._best is not None:
            values[f"best_{self._aim.metric}"] = self._best
        # The time of the newest end, so that of equal steps the newer value is the latest one.
        return [
            MetricPoint(name=name, value=value, step=step, timestamp_ms=self.last_end_ms)
            for name, value in values.items()
        ]

    def status(self, status: Literal["FINISHED", "KILLED", "FAILED"]) -> Literal["FINISHED", "KILLED", "FAILED"]:
        """Return how the sweep ended: one of which every trial failed has failed, however orderly it went."""
        ends = {outcome for outcome, count in self._counts.items() if count}
        return "FAILED" if status == "FINISHED" and ends == {Outcome.FAILED} else status

    def _better(self, record: TrialRecord) -> float | None:
        if self._aim is None or record.outcome is not Outcome.COMPLETE or not record.epochs:
            return self._best
        value: float | None = record.epochs[-1].value(self._aim.metric)
        if value is None or not math.isfinite(value):
            return self._best
        if self._best is None:
            return value
        return max(self._best, value) if self._aim.maximize else min(self._best, value)
