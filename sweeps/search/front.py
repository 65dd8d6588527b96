"""The front of a search with several objectives: its metric, and what is known of a configuration beforehand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from sweeps.core.front import KnownValue, front
from sweeps.core.task import TaskConfig
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.settings import Metric
from sweeps.files.space import SearchSpace


def known_values(space: SearchSpace, objectives: Sequence[Metric], config: TaskConfig) -> tuple[KnownValue, ...]:
    """Return the objectives of a configuration that are known before its training.

    It is empty if one of them cannot be computed, as for a network that cannot be built: it is on no front.
    """
    found = []
    for objective in objectives:
        value = space.number(objective.name, config)
        if value is None:
            return ()
        found.append(KnownValue(name=objective.name, goal=objective.goal, value=value))
    return tuple(found)


def front_of(records: Iterable[TrialRecord], *, metric: str, maximize: bool) -> list[TrialRecord]:
    """Return the complete trials on the front, the best metric first; none for a search with one objective."""
    able = [
        record
        for record in records
        if record.known and record.outcome is Outcome.COMPLETE and not record.violated
        if math.isfinite(_cost(record, len(record.epochs), metric, maximize))
    ]
    points = [_point(record, len(record.epochs), metric, maximize) for record in able]
    found = [able[index] for index in front(points)]
    return sorted(found, key=lambda record: (_cost(record, len(record.epochs), metric, maximize), record.number))


def leads(record: TrialRecord, *, epoch: int, among: Iterable[TrialRecord], metric: str, maximize: bool) -> bool:
    """Return whether a trial is on the front of those that have reached an epoch, by their metric after it.

    Early stopping does not end such a trial: it compares by the metric alone, and would end all small networks.
    Source: the first front of Schmucker et al., Multi-objective Asynchronous Successive Halving (2021).
    """
    if not record.known or not math.isfinite(cost := _cost(record, epoch, metric, maximize)):
        return False
    costs = [known.cost for known in record.known]
    return not any(
        _cost(other, epoch, metric, maximize) < cost
        and all(theirs.cost <= ours for theirs, ours in zip(other.known, costs, strict=True))
        for other in among
        if other.known and other.number != record.number and len(other.epochs) >= epoch
    )


def _cost(record: TrialRecord, epoch: int, metric: str, maximize: bool) -> float:
    value = record.epochs[epoch - 1].value(metric)
    return math.inf if value is None or math.isnan(value) else -float(value) if maximize else float(value)


def _point(record: TrialRecord, epoch: int, metric: str, maximize: bool) -> list[float]:
    return [_cost(record, epoch, metric, maximize), *(known.cost for known in record.known)]
