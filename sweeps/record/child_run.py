"""What MLflow holds of one trial, and what it lacks of a newer record. Pure: it calls no store."""

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
    """One child run, kept in step with the store by whoever writes it."""

    run_id: str
    name: str
    status: str
    end_ms: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    params: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    """Names that were there when the run was found."""
    written: TrialRecord | None = None
    """The last record that this process wrote whole."""

    @classmethod
    def of(cls, run: RecordedRun) -> ChildRun:
        """Return a run as it was found in the store."""
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
        """Return whether nothing would be written of a record that has ended."""
        missing = self.missing_params(record) or self.missing_metrics(record) or self.lacks_test(record)
        differs = self.changed_tags(record, defaults={}) or self.outdated_tags(record) or self.name != run_name(record)
        ended = (self.status, self.end_ms) == (STATUS_OF[record.outcome], end_ms(record))
        return record.outcome.is_final and ended and not missing and not differs

    def is_in_step(self, record: TrialRecord) -> bool:
        """Return whether it says what the ledger says of a trial that nobody trains just now."""
        if record.outcome.is_final:
            return self.holds(record)
        wanted = (STATUS_OF[Outcome.INTERRUPTED], Outcome.INTERRUPTED.value, str(len(record.epochs)))
        # The two tags come with the last of its epochs, or after them.
        return (self.status, self.tags.get("outcome"), self.tags.get("epochs_done")) == wanted

    def missing_params(self, record: TrialRecord) -> dict[str, str]:
        """Return the params that are not there; one that is there cannot be changed."""
        params = params_of(record.config.dotted())
        return {name: value for name, value in params.items() if name not in self.params}

    def missing_metrics(self, record: TrialRecord) -> list[MetricPoint]:
        """Return the values that may not be there.

        Of a run that a former process left unfinished that is all of them: values that are there already,
        with the same step and time, are the same rows and do not double.
        """
        summary = summary_metrics(record)
        before = self.written
        if before is not None:
            said = set(summary_metrics(before))
            old = before.epochs
            new = tuple(e for index, e in enumerate(record.epochs) if old[index : index + 1] != (e,))
            return epoch_metrics(new) + [point for point in summary if point not in said]
        if self.was_ended(record):
            return [point for point in summary if point.name not in self.metrics]
        return epoch_metrics(record.epochs) + summary

    def was_ended(self, record: TrialRecord) -> bool:
        """Return whether the run says that the trial ended as it did, which is said after its epochs."""
        told = (self.tags.get("outcome"), self.tags.get("epochs_done"))
        return record.outcome.is_final and told == (record.outcome.value, str(len(record.epochs)))

    def lacks_test(self, record: TrialRecord) -> bool:
        """Return whether the answers on the test images are to be stored."""
        if record.test is None:
            return False
        if self.written is None:
            return "test_accuracy" not in self.metrics
        return self.written.test != record.test

    def changed_tags(self, record: TrialRecord, *, defaults: Mapping[str, str]) -> dict[str, str]:
        """Return the tags to set. A default, such as the driver's git_sha, never changes what is there."""
        wanted = {name: value for name, value in defaults.items() if name not in self.tags} | tags_of(record)
        return {name: value for name, value in wanted.items() if self.tags.get(name) != value}

    def outdated_tags(self, record: TrialRecord) -> list[str]:
        """Return our tags that no longer hold, such as the error of a former attempt."""
        wanted = tags_of(record)
        return [name for name in TAGS if name in self.tags and name not in wanted]


def end_ms(record: TrialRecord) -> int:
    """Return when a trial that does not run ended, as MLflow writes a time."""
    last = record.epochs[-1].finished_at if record.epochs else record.started
    return milliseconds(last if record.finished is None else record.finished)


def record_of(run: RecordedRun, records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the trial that a run with edited tags is of: known by its key, else by its name and when it began."""
    records = list(records)
    if by_key := [record for record in records if record.key == run.tags.get("key")]:
        return by_key[0]
    by_name = [record for record in records if run_name(record) == run.name]
    by_start = [record for record in records if milliseconds(record.started) == run.start_ms]
    both = [record for record in by_name if record in by_start]
    return next((found[0] for found in (both, by_name, by_start) if len(found) == 1), None)


def run_name(record: TrialRecord) -> str:
    """Return what people see: the rung's name in a ladder, else `sweeps.core.identity.trial_name`."""
    if record.rung is not None:
        return record.rung.name
    seed = None if record.replicate_of is None else record.config.seed
    return trial_name(record.sweep, record.trial, replicate_seed=seed)
