"""The MLflow run of one trial, and its differences from a newer record. Pure: it calls no store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sweeps.core.identity import trial_name
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record.mapping import (
    STATUS_OF,
    TAGS,
    MetricPoint,
    epoch_metrics,
    milliseconds,
    params_of,
    summary_metrics,
    tags_of,
)
from sweeps.record.recorded_run import RecordedRun


@dataclass(kw_only=True)
class ChildRun:
    """The state of one child run in the store, updated by the writer."""

    run_id: str
    name: str
    status: str
    end_ms: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    params: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    """Names of the metrics that the run had when it was found."""
    written: TrialRecord | None = None
    """The last record that this process wrote completely."""

    @classmethod
    def of(cls, run: RecordedRun) -> ChildRun:
        """Return the state of a run from the store."""
        return cls(
            run_id=run.run_id,
            name=run.name,
            status=run.status,
            end_ms=run.end_ms,
            tags=dict(run.tags),
            params=set(run.params),
            metrics=set(run.metrics),
        )

    def holds(self, record: TrialRecord) -> bool:
        """Return whether a record has ended and the run contains all of it."""
        # A run of an earlier version lacks the fields that later ones added, which have their defaults.
        params = params_of(record.config.dotted(only_non_default=True)).keys() - self.params
        missing = params or self.missing_metrics(record) or self.lacks_test(record)
        differs = self.changed_tags(record, defaults={}) or self.outdated_tags(record) or self.name != run_name(record)
        ended = (self.status, self.end_ms) == (STATUS_OF[record.outcome], end_ms(record))
        return record.outcome.is_final and ended and not missing and not differs

    def is_up_to_date(self, record: TrialRecord) -> bool:
        """Return whether the run agrees with the ledger's record of a trial that does not run."""
        if record.outcome.is_final:
            return self.holds(record)
        outcome = Outcome.PAUSED if record.outcome is Outcome.PAUSED else Outcome.INTERRUPTED
        expected = (STATUS_OF[outcome], outcome.value, str(len(record.epochs)))
        # The two tags are written with the last epoch or later.
        return (self.status, self.tags.get("outcome"), self.tags.get("epochs_done")) == expected

    def missing_params(self, record: TrialRecord) -> dict[str, str]:
        """Return the params that the run lacks. Existing ones cannot be changed in MLflow."""
        params = params_of(record.config.dotted())
        return {name: value for name, value in params.items() if name not in self.params}

    def missing_metrics(self, record: TrialRecord) -> list[MetricPoint]:
        """Return the metric values that the run may lack.

        For a run left unfinished by an earlier process these are all values: MLflow stores a value with the same step
        and time only once.
        """
        summary = summary_metrics(record)
        before = self.written
        if before is not None:
            written = set(summary_metrics(before))
            old = before.epochs
            new = tuple(e for index, e in enumerate(record.epochs) if old[index : index + 1] != (e,))
            return epoch_metrics(new) + [point for point in summary if point not in written]
        if self.was_ended(record):
            return [point for point in summary if point.name not in self.metrics]
        return epoch_metrics(record.epochs) + summary

    def was_ended(self, record: TrialRecord) -> bool:
        """Return whether the run contains the trial's outcome, which is written after its epochs."""
        stored = (self.tags.get("outcome"), self.tags.get("epochs_done"))
        return record.outcome.is_final and stored == (record.outcome.value, str(len(record.epochs)))

    def lacks_test(self, record: TrialRecord) -> bool:
        """Return whether the result on the test images has to be written."""
        if record.test is None:
            return False
        if self.written is None:
            return not self.metrics >= {*list(record.test.recorded)[:1]}  # the loss may be missing if it is not finite
        return self.written.test != record.test

    def changed_tags(self, record: TrialRecord, *, defaults: Mapping[str, str]) -> dict[str, str]:
        """Return the tags to set. Defaults, such as the driver's git_sha, do not replace existing tags."""
        tags = {name: value for name, value in defaults.items() if name not in self.tags} | tags_of(record)
        return {name: value for name, value in tags.items() if self.tags.get(name) != value}

    def outdated_tags(self, record: TrialRecord) -> list[str]:
        """Return the tags to delete, such as the error of an earlier attempt."""
        current = tags_of(record)
        return [name for name in TAGS if name in self.tags and name not in current]


def end_ms(record: TrialRecord) -> int:
    """Return the end time of a trial that does not run, Unix time in milliseconds."""
    last = record.epochs[-1].finished_at if record.epochs else record.started
    return milliseconds(last if record.finished is None else record.finished)


def record_of(run: RecordedRun, records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the trial of a run with edited tags: by its key, else by its name and start time; None if unclear."""
    records = list(records)
    if by_key := [record for record in records if record.key == run.tags.get("key")]:
        return by_key[0]
    by_name = [record for record in records if run_name(record) == run.name]
    by_start = [record for record in records if milliseconds(record.started) == run.start_ms]
    both = [record for record in by_name if record in by_start]
    return next((found[0] for found in (both, by_name, by_start) if len(found) == 1), None)


def run_name(record: TrialRecord) -> str:
    """Return the displayed name: the rung's name in a ladder, else `sweeps.core.identity.trial_name`."""
    if record.rung is not None:
        return record.rung.name
    seed = None if record.replicate_of is None else record.config.seed
    return trial_name(record.sweep, record.trial, replicate_seed=seed)
