"""The ranking of configurations: by the metric of the search, and by trial number if equal.

Status, live view, notifications, kept weights, replicates and the leaderboard use it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from sweeps.core.chance import has_learned
from sweeps.core.identity import Protocol, replicate_group
from sweeps.core.trial import Outcome, TrialRecord

Group = tuple[str, str]
"""Identifies the trials of one configuration; see `sweeps.core.identity.replicate_group`."""
RankKey = tuple[bool, bool, int, Protocol, float, int]
"""Sort key; the best configuration has the smallest."""


def final_value(record: TrialRecord, metric: str) -> float | None:
    """Return the metric of a trial's last epoch; None before its first."""
    value = record.epochs[-1].value(metric) if record.epochs else None
    return None if value is None else float(value)


def configuration_of(record: TrialRecord) -> Group:
    """Return the group of a trial: equal for the same configuration under other seeds."""
    return replicate_group(config_id=record.config_id, source=record.source)


def as_compared(record: TrialRecord) -> TrialRecord:
    """Return a replicate with its values on the confirmation part, if there is one, as those of its last epoch."""
    if record.confirm is None or not record.epochs:
        return record
    *before, last = record.epochs
    measured = replace(last, metrics={**last.metrics, **record.confirm.metrics})
    return replace(record, epochs=(*before, measured))


def learned(record: TrialRecord) -> bool:
    """Return whether a complete trial is better than chance on its validation images; see `has_learned`."""
    last, images = record.epochs[-1], record.protocol.validation_images
    accuracy = last.value("val_accuracy")
    if accuracy is None or not 0 <= accuracy <= 1:
        return True
    counted = images if last.val_confusion is None else sum(map(sum, last.val_confusion))
    return has_learned(accuracy, images=counted, confusion=last.val_confusion, classes=record.protocol.classes)


def by_value(value: float, *, maximize: bool, trial: int) -> tuple[float, int]:
    """Return the sort key among configurations of one budget: the mean, then the first trial; the best first."""
    return (-value if maximize else value), trial


class ConfigurationRanking:
    """Ranking of the complete configurations of a search by the mean over their seeds, updated with each trial."""

    def __init__(self, *, metric: str, maximize: bool, records: Iterable[TrialRecord] = ()) -> None:
        self._metric, self._maximize = metric, maximize
        self._trials: dict[Group, dict[int, TrialRecord]] = {}
        self._unlearned: dict[Group, set[int]] = {}
        self._violating: set[Group] = set()
        self._first: tuple[RankKey, Group] | None = None
        for record in records:
            self.enter(record)

    def enter(self, record: TrialRecord) -> None:
        """Add a trial. Only a complete trial with a finite value is ranked."""
        value = final_value(record, self._metric) if record.outcome is Outcome.COMPLETE else None
        if value is None or not math.isfinite(value):
            return
        group = configuration_of(record)
        self._trials.setdefault(group, {})[record.number] = record
        if not learned(record):
            self._unlearned.setdefault(group, set()).add(record.number)
        if record.violated:
            self._violating.add(group)
        at = self.rank_key(group)
        if self._first is None or at <= self._first[0]:
            self._first = (at, group)
        elif group == self._first[1]:  # its new seed is worse: another configuration may be better now
            self._first = min((self.rank_key(each), each) for each in self._trials)

    def rank_key(self, group: Group) -> RankKey:
        """Return the sort key of a configuration: the largest budget first, then the mean over its seeds.

        A configuration that learned nothing under some seed, or violates a condition of `where`, is ranked last, as on
        the leaderboard.
        """
        trials = self.trials(group)
        protocol = trials[0].protocol
        return (
            group in self._unlearned,
            group in self._violating,
            -protocol.budget,
            protocol,
            *by_value(self.mean(group), maximize=self._maximize, trial=trials[0].trial),
        )

    def mean(self, group: Group) -> float:
        """Return the mean of the metric over the seeds of a configuration that learned; over all if none did."""
        trials, unlearned = self._trials[group], self._unlearned.get(group, set())
        numbers = [number for number in trials if number not in unlearned] or list(trials)
        values = [final_value(trials[number], self._metric) or 0.0 for number in numbers]
        return math.fsum(values) / len(values)

    def trials(self, group: Group) -> list[TrialRecord]:
        """Return the complete trials of a configuration, the earliest first; empty if it is not ranked."""
        return [record for _, record in sorted(self._trials.get(group, {}).items())]

    def first(self) -> Group | None:
        """Return the best configuration; None before one is complete."""
        return None if self._first is None else self._first[1]

    def in_order(self) -> list[Group]:
        """Return the configurations, the best first."""
        return sorted(self._trials, key=self.rank_key)


def best_first(records: Iterable[TrialRecord], *, metric: str, maximize: bool) -> list[TrialRecord]:
    """Return the first complete trial of each configuration, the best configuration first."""
    ranking = ConfigurationRanking(metric=metric, maximize=maximize, records=records)
    return [ranking.trials(group)[0] for group in ranking.in_order()]
