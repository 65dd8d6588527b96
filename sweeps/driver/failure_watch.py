"""Ends a sweep that cannot succeed: its trials all fail in the same way, its disk is full, its storage is away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from sweeps.core.formatting import log_path, plural
from sweeps.core.task import TaskConfig
from sweeps.core.trial import ErrorClass, Outcome, TrialRecord
from sweeps.driver.stopping import Stopping
from sweeps.tasks.registry import task_of

SAME_FAILURES = 3
"""Trials that fail in the same way, with none that does not, after which more of them would say nothing new."""


class FailureWatch:
    """Hears of every trial of a start and asks for its end where going on makes no sense."""

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
        """Listen from now on.

        Args:
            stopping: what is asked for the end.
            models: every network that the sweep may train: while one was not tried there is hope.
            source_of: gives the hash of a run's source.
            runs: the folder that the records' logs are named from.
            is_explained: whether a failure says nothing of other trials, which are known to train.
            earlier: trials of earlier starts; one that did not fail gives hope, unless its network was another.
        """
        self._stopping = stopping
        self._runs = runs
        self._untried = set(models)
        self._is_explained = is_explained
        self._failures: dict[int, TrialRecord] = {}
        self._can_succeed = any(_may_succeed(r) and r.source == source_of(r.config) for r in earlier)

    def on_change(self, record: TrialRecord) -> None:
        """Take note of a trial's change."""
        if record.outcome is Outcome.INTERRUPTED and record.error_class == ErrorClass.DISK_FULL:
            words = f"{record.name}: {record.error}; make room, and the same command goes on"
            self._stopping.request("disk full", words)
        if record.outcome is Outcome.INTERRUPTED and record.error_class == ErrorClass.STORAGE_UNREACHABLE:
            words = f"{record.name}: {record.error}; everything that is kept stays: the same command goes on from there"
            self._stopping.request("storage away", words)
        if record.outcome is Outcome.INTERRUPTED and record.error_class == ErrorClass.CODE_CHANGED:
            words = f"{record.name}: {record.error}. What was trained is saved, and no trial begins with other code"
            self._stopping.request("code changed", words)
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
        told = "\n".join(f"  {line}" for line in (last.traceback or last.error or "").splitlines())
        self._stopping.request(
            "failing",
            f"{plural(len(self._failures), 'trial')} failed, all in the same way, and none did not:\n{told}\n"
            f"the whole of it is in {log_path(last.log, self._runs)}; "
            "mend it, then the same command with --retry-failed",
        )


def _may_succeed(record: TrialRecord) -> bool:
    """Return whether another trial may succeed after this one: of one too large for the machine a smaller one may."""
    return record.outcome.is_final and (
        record.outcome is not Outcome.FAILED or record.error_class == ErrorClass.OUT_OF_MEMORY
    )


def _signature(record: TrialRecord) -> tuple[str | None, str]:
    """Return what failures of one cause have in common: the class and the lines of code, whatever its numbers."""
    lines = [line for line in (record.traceback or "").splitlines() if line.startswith("  File ")]
    return (record.error_class, "\n".join(lines) or (record.error or ""))
