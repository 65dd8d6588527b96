"""Which complete trials are the best by the metric that a search looks at."""

from __future__ import annotations

from collections.abc import Iterable

from sweeps.trial_record import Outcome, TrialRecord


def final_value(record: TrialRecord, metric: str) -> float | None:
    """Return the metric of a trial's last epoch, None before its first."""
    value = getattr(record.epochs[-1], metric) if record.epochs else None
    return None if value is None else float(value)


def place(record: TrialRecord, *, metric: str, maximize: bool) -> tuple[float, int] | None:
    """Return what trials are ordered by, the best first, of equal ones the earlier; None for one that has no place."""
    value = final_value(record, metric) if record.outcome is Outcome.COMPLETE else None
    return None if value is None else (-value if maximize else value, record.number)


def best_first(records: Iterable[TrialRecord], *, metric: str, maximize: bool) -> list[TrialRecord]:
    """Return the complete trials that have a value, the best first, of equal ones the earlier."""
    found = [(at, record) for record in records if (at := place(record, metric=metric, maximize=maximize)) is not None]
    return [record for _, record in sorted(found, key=lambda entry: entry[0])]
