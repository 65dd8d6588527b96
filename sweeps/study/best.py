"""Which complete trials are the best by the metric that a search looks at."""

from __future__ import annotations

from collections.abc import Iterable

from sweeps.trial_record import Outcome, TrialRecord


def final_value(record: TrialRecord, metric: str) -> float | None:
    """Return the metric of a trial's last epoch, None before its first."""
    value = getattr(record.epochs[-1], metric) if record.epochs else None
    return None if value is None else float(value)


def best_first(records: Iterable[TrialRecord], *, metric: str, maximize: bool) -> list[TrialRecord]:
    """Return the complete trials that have a value, the best first, of equal ones the earlier."""
    sign = -1 if maximize else 1
    found = [
        (sign * value, record.number, record)
        for record in records
        if record.outcome is Outcome.COMPLETE and (value := final_value(record, metric)) is not None
    ]
    return [record for _, _, record in sorted(found, key=lambda entry: entry[:2])]
