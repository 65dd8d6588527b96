"""What the record holds, beside what the journals say: read once, to see what is left open, missing or out of step."""

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
from sweeps.record.store import is_own, store_uri
from sweeps.record.stores import open_store
from sweeps.record.trial_run import UnreadableRun, sorted_runs
from sweeps.record.writer import Tracker


class RecordReview:
    """All runs of the record in use, as of one moment. Changes nothing."""

    def __init__(self, runs: Path) -> None:
        """Read it.

        Raises:
            RecordError: it cannot be read.
        """
        self.is_own = is_own(runs)
        """Whether only drivers of this runs folder write it."""
        ownership = Ownership(runs)
        found = [run for run in open_store(runs).runs({}) if ownership.takes(run)]
        self._trials, self._unreadable = sorted_runs(found)
        self._parents = [run for run in found if run.tags.get("kind") == "sweep"]

    def unreadable(self, *, sweep: str, studies: Collection[str] = ()) -> Sequence[UnreadableRun]:
        """Return the runs of a sweep, or of its studies, that cannot be understood."""
        return [
            each
            for each in self._unreadable
            if each.run.tags.get("sweep") == sweep or each.run.tags.get("study") in studies
        ]

    @property
    def all_unreadable(self) -> Sequence[UnreadableRun]:
        """The runs of any sweep that cannot be understood."""
        return self._unreadable

    @property
    def sweeps(self) -> set[str]:
        """The names of all sweeps that it has a run of."""
        return {run.tags.get("sweep", "") for run in (*self._trials, *self._parents)}

    @property
    def complete_keys(self) -> set[str]:
        """The keys of the runs that came to their end."""
        return {run.key for run in self._trials if run.outcome is Outcome.COMPLETE}

    def unfinished_keys(self, *, sweep: str) -> set[str]:
        """Return the keys of a sweep's trials that it knows no end of."""
        return {run.key for run in self._trials if run.sweep == sweep and not run.outcome.is_final}

    def trials(self, *, sweep: str) -> int:
        """Return how many trials of a sweep it holds."""
        return sum(run.sweep == sweep for run in self._trials)

    def open_runs(self, *, sweep: str) -> Sequence[RecordedRun]:
        """Return a sweep's runs that are not ended, its own runs among them."""
        runs = (*self._trials, *self._parents)
        return [run for run in runs if run.status == "RUNNING" and run.tags.get("sweep") == sweep]

    def out_of_step(self, records: Iterable[TrialRecord], *, study: str) -> Sequence[TrialRecord]:
        """Return the trials of a study, none of which is being trained, that it lacks or says something else of."""
        children = {run.key: ChildRun.of(run) for run in self._trials if run.study == study}
        return [
            record for record in records if record.key not in children or not children[record.key].is_in_step(record)
        ]

    def lacks_parent(self, study: str) -> bool:
        """Return whether it has no run of a study itself."""
        return self._parent(study) is None

    def end_of(self, study: str, records: Iterable[TrialRecord]) -> str:
        """Return how a study's own run stands when nobody runs it."""
        parent = self._parent(study)
        done = all(record.outcome.is_final for record in records)
        status = ("FINISHED" if done else "KILLED") if parent is None else parent.status
        return "KILLED" if status == "RUNNING" else status

    def _parent(self, study: str) -> RecordedRun | None:
        return next((run for run in self._parents if run.tags.get("study") == study), None)


def bring_level(
    runs: Path,
    records: Sequence[TrialRecord],
    *,
    sweep: str,
    study: str,
    title: str,
    review: RecordReview,
    owner: str | None = None,
) -> None:
    """Write what the record lacks of a study that nobody runs, as the next start would, and end what it left open.

    Args:
        runs: the runs folder.
        records: every trial of the study.
        sweep: its name.
        study: the study's.
        title: what the study's own run is called where there is none yet.
        review: what the record held before.
        owner: the study's id; None of a study from before there was one.

    Raises:
        RecordError: it cannot be written.
    """
    status = review.end_of(study, records)
    # Neither commit nor versions of this process: it trains nothing.
    # What was the best of it, the next start tells, which knows by which metric.
    recorded = RecordedStudy(sweep=sweep, name=study, title=title, owner=owner)
    tracker = Tracker(recorded, runs=runs, environment={}, tells_progress=False)
    try:
        tracker.reconcile(records)
    finally:
        tracker.close("FINISHED" if status == "FINISHED" else "FAILED" if status == "FAILED" else "KILLED")


def end_as_interrupted(runs: Path, open_runs: Iterable[RecordedRun]) -> None:
    """End runs that no driver will end any more, as `Tracker.reconcile` ends those that the ledger does not know.

    Raises:
        RecordError: the record cannot be written.
    """
    uri = store_uri(runs)
    with store_errors(uri):
        client = connect(uri)
        for run in open_runs:
            if run.tags.get("kind") == "trial":
                client.set_tag(run.run_id, "outcome", Outcome.INTERRUPTED.value)
            client.set_terminated(run.run_id, STATUS_OF[Outcome.INTERRUPTED])
