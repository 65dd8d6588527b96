"""Stop a sweep that cannot succeed: all trials fail in the same way, the disk is full, the storage is unreachable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sweeps.core.formatting import log_path, plural
from sweeps.core.task import TaskConfig
from sweeps.core.trial import ErrorClass, Outcome, TrialRecord
from sweeps.driver.stopping import Stopping
from sweeps.tasks.registry import task_of

SAME_FAILURES = 3
"""Number of equal failures, without any other result, after which the sweep stops."""


class FailureWatch:
    """Observes all trials of a start and requests its end if continuing is useless.

    Args:
        stopping: receives the request.
        models: every network of the sweep; an untried one may still succeed.
        source_of: returns the hash of a run's custom code.
        runs: the runs folder, for the paths of logs.
        is_explained: returns whether a failure does not concern other trials.
        earlier: trials of earlier starts; one that did not fail shows that others may succeed, for unchanged code.
    """

    def __init__(
        self,
        stopping: Stopping,
        *,
        models: Sequence[str],
        source_of: Callable[[TaskConfig], str | None],
        runs: Path,
        earlier: Iterable[TrialRecord],
        is_explained: Callable[[TrialRecord], bool] = lambda record: False,
    ) -> None:
        self._stopping = stopping
        self._runs = runs
        self._untried = set(models)
        self._is_explained = is_explained
        self._failures: dict[int, TrialRecord] = {}
        self._can_succeed = any(_may_succeed(r) and r.source == source_of(r.config) for r in earlier)

    def on_change(self, record: TrialRecord) -> None:
        if record.outcome is Outcome.INTERRUPTED and record.error_class == ErrorClass.DISK_FULL:
            text = f"{_failure(record)} Free disk space, then run the same command again to resume."
            self._stopping.request("disk full", text)
        if record.outcome is Outcome.INTERRUPTED and record.error_class == ErrorClass.STORAGE_UNREACHABLE:
            text = f"{_failure(record)} All finished epochs are saved. Run the same command again to resume."
            self._stopping.request("storage away", text)
        if record.outcome is Outcome.INTERRUPTED and record.error_class == ErrorClass.CODE_CHANGED:
            text = f"{_failure(record)} All finished epochs are saved. No trial was started with the changed code. "
            resume = "To resume, undo the edit and run the same command again. "
            train = "To train the new code, run `sweeps run FILE --new`, or the same `sweeps ladder` command again."
            self._stopping.request("code changed", text + resume + train)
        if not record.outcome.is_final:
            return
        self._untried.discard(task_of(record.config).label(record.config))
        if _may_succeed(record):
            self._can_succeed = True
        elif not self._can_succeed and not self._is_explained(record):
            self._failures[record.number] = record
            self._judge(record)

    def _judge(self, last: TrialRecord) -> None:
        alike = {_signature(record) for record in self._failures.values()}
        if len(self._failures) < SAME_FAILURES or len(alike) > 1 or self._untried:
            return
        cause = "\n".join(f"  {line}" for line in (last.traceback or last.error or "").splitlines())
        self._stopping.request(
            "failing",
            f"{plural(len(self._failures), 'trial')} failed, all in the same way:\n{cause}\n"
            f"See {log_path(last.log, self._runs)} for the full output. "
            "Fix the error, then run the same command with --retry-failed.",
        )


def _failure(record: TrialRecord) -> str:
    return f"{record.name}: {(record.error or '').rstrip('.')}."


def _may_succeed(record: TrialRecord) -> bool:
    """Return whether other trials may succeed after this one: also after a trial that was too large for the machine."""
    return record.outcome.is_final and (
        record.outcome is not Outcome.FAILED or record.error_class == ErrorClass.OUT_OF_MEMORY
    )


def _signature(record: TrialRecord) -> tuple[str | None, str]:
    """Return a key that is equal for failures of the same cause: error class and lines of code."""
    lines = [line for line in (record.traceback or "").splitlines() if line.startswith("  File ")]
    return (record.error_class, "\n".join(lines) or (record.error or ""))
