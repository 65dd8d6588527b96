"""The one order of "best": by the metric that a search looks at, of equal ones the earlier.

Status, live view, notifications, kept weights, replicates and the leaderboard all go by it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sweeps.core.chance import has_learned
from sweeps.core.identity import Protocol, replicate_group
from sweeps.core.trial import Outcome, TrialRecord

Group = tuple[str, str]
"""What the trials of one configuration have in common; see `sweeps.core.identity.replicate_group`."""
RankKey = tuple[bool, int, Protocol, float, int]
"""Sorts the best configuration first."""


def final_value(record: TrialRecord, metric: str) -> float | None:
    """Return the metric of a trial's last epoch, None before its first."""
    value = record.epochs[-1].value(metric) if record.epochs else None
    return None if value is None else float(value)


def configuration_of(record: TrialRecord) -> Group:
    """Return what a trial shares with those of the same configuration under other seeds."""
    return replicate_group(config_id=record.config_id, source=record.source)


def learned(record: TrialRecord) -> bool:
    """Return whether a complete trial can be told from chance on its validation images; see `has_learned`."""
    last, images = record.epochs[-1], record.protocol.validation_images
    accuracy = last.value("val_accuracy")
    if accuracy is None or not 0 <= accuracy <= 1:
        return True
    counted = images if last.val_confusion is None else sum(map(sum, last.val_confusion))
    return has_learned(accuracy, images=counted, confusion=last.val_confusion)


def by_value(value: float, *, maximize: bool, trial: int) -> tuple[float, int]:
    """Return what configurations of one budget are ordered by, the best first: their mean, then their first trial."""
    return (-value if maximize else value), trial


class Standings:
    """The complete configurations of a search, each with the mean of its seeds, kept up to date trial by trial."""

    def __init__(self, *, metric: str, maximize: bool, records: Iterable[TrialRecord] = ()) -> None:
        self._metric, self._maximize = metric, maximize
        self._trials: dict[Group, dict[int, TrialRecord]] = {}
        self._unlearned: dict[Group, set[int]] = {}
        self._first: tuple[RankKey, Group] | None = None
        for record in records:
            self.enter(record)

    def enter(self, record: TrialRecord) -> None:
        """Take note of a trial; only a complete one with a finite value has a rank."""
        value = final_value(record, self._metric) if record.outcome is Outcome.COMPLETE else None
        if value is None or not math.isfinite(value):
            return
        group = configuration_of(record)
        self._trials.setdefault(group, {})[record.number] = record
        if not learned(record):
            self._unlearned.setdefault(group, set()).add(record.number)
        at = self.rank_key(group)
        if self._first is None or at <= self._first[0]:
            self._first = (at, group)
        elif group == self._first[1]:  # its new seed is worse: another one may lead now
            self._first = min((self.rank_key(each), each) for each in self._trials)

    def rank_key(self, group: Group) -> RankKey:
        """Return where a configuration stands: the largest budget first, then by the mean of its seeds.

        One that learned nothing under some seed stands behind all others, as on the leaderboard.
        """
        trials = self.trials(group)
        protocol = trials[0].protocol
        return (
            group in self._unlearned,
            -protocol.budget,
            protocol,
            *by_value(self.mean(group), maximize=self._maximize, trial=trials[0].trial),
        )

    def mean(self, group: Group) -> float:
        """Return the mean of the metric over the seeds of a configuration, over those that learned where any did."""
        trials, unlearned = self._trials[group], self._unlearned.get(group, set())
        numbers = [number for number in trials if number not in unlearned] or list(trials)
        values = [final_value(trials[number], self._metric) or 0.0 for number in numbers]
        return math.fsum(values) / len(values)

    def trials(self, group: Group) -> list[TrialRecord]:
        """Return the complete trials of a configuration, the earliest first; none of one without a rank."""
        return [record for _, record in sorted(self._trials.get(group, {}).items())]

    def first(self) -> Group | None:
        """Return the best configuration, None before one is complete."""
        return None if self._first is None else self._first[1]

    def in_order(self) -> list[Group]:
        """Return the configurations, the best first."""
        return sorted(self._trials, key=self.rank_key)


def best_first(records: Iterable[TrialRecord], *, metric: str, maximize: bool) -> list[TrialRecord]:
    """Return the first complete trial of each configuration, the best configuration first."""
    standings = Standings(metric=metric, maximize=maximize, records=records)
    return [standings.trials(group)[0] for group in standings.in_order()]
