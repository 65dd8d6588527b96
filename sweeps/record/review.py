"""Comparison of the record with the journals: open, missing and outdated runs, and their repair."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record.child_run import ChildRun
from sweeps.record.client import connect, store_errors
from sweeps.record.mapping import STATUS_OF
from sweeps.record.ownership import Ownership
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.store import store_uri, uses_default_record
from sweeps.record.stores import open_store
from sweeps.record.trial_run import UnreadableRun, parse_runs
from sweeps.record.writer import Tracker


class RecordReview:
    """A snapshot of all runs of the record in use. Read-only."""

    def __init__(self, runs: Path) -> None:
        """Read the record.

        Raises:
            RecordError: The record cannot be read.
        """
        self.is_default = uses_default_record(runs)
        """Whether only drivers of this runs folder write it."""
        ownership = Ownership(runs)
        found = [run for run in open_store(runs).runs({}) if ownership.includes(run)]
        self._trials, self._unreadable = parse_runs(found)
        self._parents = [run for run in found if run.tags.get("kind") == "sweep"]

    def unreadable(self, *, sweep: str, studies: Collection[str] = ()) -> Sequence[UnreadableRun]:
        """Return the invalid runs of a sweep, or of its studies."""
        return [
            each
            for each in self._unreadable
            if each.run.tags.get("sweep") == sweep or each.run.tags.get("study") in studies
        ]

    @property
    def all_unreadable(self) -> Sequence[UnreadableRun]:
        """The invalid runs of all sweeps."""
        return self._unreadable

    @property
    def sweeps(self) -> set[str]:
        """Names of all recorded sweeps."""
        return {run.tags.get("sweep", "") for run in (*self._trials, *self._parents)}

    @property
    def complete_keys(self) -> set[str]:
        """Keys of the complete runs."""
        return {run.key for run in self._trials if run.outcome is Outcome.COMPLETE}

    def unfinished_keys(self, *, sweep: str) -> set[str]:
        """Return the keys of a sweep's trials that have not ended."""
        return {run.key for run in self._trials if run.sweep == sweep and not run.outcome.is_final}

    def trials(self, *, sweep: str) -> int:
        """Return the number of recorded trials of a sweep."""
        return sum(run.sweep == sweep for run in self._trials)

    def open_runs(self, *, sweep: str) -> Sequence[RecordedRun]:
        """Return a sweep's RUNNING runs, including parent runs."""
        runs = (*self._trials, *self._parents)
        return [run for run in runs if run.status == "RUNNING" and run.tags.get("sweep") == sweep]

    def outdated(self, records: Iterable[TrialRecord], *, study: str) -> Sequence[TrialRecord]:
        """Return the trials of a stopped study that are missing or differ in the record."""
        children = {run.key: ChildRun.of(run) for run in self._trials if run.study == study}
        return [
            record for record in records if record.key not in children or not children[record.key].is_up_to_date(record)
        ]

    def lacks_parent(self, study: str) -> bool:
        """Return whether a study has no parent run."""
        return self._parent(study) is None

    def end_status(self, study: str, records: Iterable[TrialRecord]) -> str:
        """Return the status that the parent run of a stopped study must have."""
        parent = self._parent(study)
        done = all(record.outcome.is_final for record in records)
        status = ("FINISHED" if done else "KILLED") if parent is None else parent.status
        return "KILLED" if status == "RUNNING" else status

    def _parent(self, study: str) -> RecordedRun | None:
        return next((run for run in self._parents if run.tags.get("study") == study), None)


def write_missing_runs(
    runs: Path,
    records: Sequence[TrialRecord],
    *,
    sweep: str,
    study: str,
    title: str,
    review: RecordReview,
    owner: str | None = None,
) -> None:
    """Write the missing and outdated runs of a stopped study, as the next start would, and end its open runs.

    Args:
        runs: The runs folder.
        records: All trials of the study.
        sweep: Name of the sweep.
        study: Name of the study.
        title: Name of the parent run if it has to be created.
        review: State of the record before.
        owner: Owner id of the study; None if it has none.

    Raises:
        RecordError: The record cannot be written.
    """
    status = review.end_status(study, records)
    # Without commit and versions of this process, which trains nothing.
    # The curve of the best value is written by the next start, which knows the metric.
    recorded = RecordedStudy(sweep=sweep, name=study, title=title, owner=owner)
    tracker = Tracker(recorded, runs=runs, environment={}, writes_progress=False)
    try:
        tracker.reconcile(records)
    finally:
        tracker.close("FINISHED" if status == "FINISHED" else "FAILED" if status == "FAILED" else "KILLED")


def end_as_interrupted(runs: Path, open_runs: Iterable[RecordedRun]) -> None:
    """Set runs without a driver to interrupted, as `Tracker.reconcile` does with runs that the ledger lacks.

    Raises:
        RecordError: The record cannot be written.
    """
    uri = store_uri(runs)
    with store_errors(uri):
        client = connect(uri)
        for run in open_runs:
            if run.tags.get("kind") == "trial":
                client.set_tag(run.run_id, "outcome", Outcome.INTERRUPTED.value)
            client.set_terminated(run.run_id, STATUS_OF[Outcome.INTERRUPTED])
