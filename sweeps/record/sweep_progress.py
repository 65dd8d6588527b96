"""Metrics of a sweep's parent run: the best value so far and the number of trials per outcome. Pure: calls no store."""

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
"""Metric with the number of ended trials, also its step: the highest step shows how much is written."""

_COUNTED = (Outcome.COMPLETE, Outcome.PRUNED, Outcome.DIVERGED, Outcome.FAILED)


@dataclass(frozen=True)
class Objective:
    """The metric of a search and its direction."""

    metric: str
    maximize: bool


class SweepProgress:
    """Computes the metrics of the parent run from ended trials.

    Args:
        objective: Determines the best value; None for a ladder.
        written: Number of ended trials that the parent run had recorded.
    """

    def __init__(self, objective: Objective | None, *, written: int = 0) -> None:
        self._objective = objective
        self._written = written
        self._outcomes: dict[str, Outcome] = {}
        self._counts: Counter[Outcome] = Counter()
        self._best: float | None = None
        self.last_end_ms: int | None = None
        """End or interruption of the last trial, Unix time in milliseconds; None before the first."""

    def add(self, record: TrialRecord) -> Sequence[MetricPoint]:
        """Add a trial; return the metric points of its end, empty if they are already written."""
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
        # A retried trial ends a second time: the values at its step are written again.
        if is_first and step <= self._written:
            return []
        counted = {f"trials_{outcome.value}": float(self._counts[outcome]) for outcome in _COUNTED}
        values = {ENDED: float(step)} | counted
        if self._objective is not None and self._best is not None:
            values[f"best_{self._objective.metric}"] = self._best
        # With the time of the newest end, so that MLflow takes the newer of two values at one step.
        return [
            MetricPoint(name=name, value=value, step=step, timestamp_ms=self.last_end_ms)
            for name, value in values.items()
        ]

    def status(self, status: Literal["FINISHED", "KILLED", "FAILED"]) -> Literal["FINISHED", "KILLED", "FAILED"]:
        """Return the final status of the sweep; FAILED instead of FINISHED if all trials failed."""
        ends = {outcome for outcome, count in self._counts.items() if count}
        return "FAILED" if status == "FINISHED" and ends == {Outcome.FAILED} else status

    def _better(self, record: TrialRecord) -> float | None:
        if self._objective is None or record.outcome is not Outcome.COMPLETE or not record.epochs:
            return self._best
        value: float | None = record.epochs[-1].value(self._objective.metric)
        if value is None or not math.isfinite(value):
            return self._best
        if self._best is None:
            return value
        return max(self._best, value) if self._objective.maximize else min(self._best, value)
