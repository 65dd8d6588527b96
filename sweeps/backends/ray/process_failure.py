"""Causes of a failed worker process: out of memory, or a crash with its last output.

Ray reports neither exit code nor signal of a failed worker. Calls of `sys.exit` and `os._exit` are handled as errors of
the training in `sweeps.worker.fault`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sweeps.core.formatting import truncated
from sweeps.core.job import Job
from sweeps.core.trial import ErrorClass, Outcome, TrialMessage
from sweeps.store.bucket import read_log
from sweeps.worker.time_limit import ended_by_limit

KILLED_BY_RAY = "its process was killed by Ray, because the memory of its machine was nearly used up"
_KILLED_BY_KERNEL = "its process was killed by the operating system, because there was no memory left"
_RAY_OUT_OF_MEMORY = "killed due to the node running low on memory"
_TAIL_BYTES = 20_000
_CLAIM_SECONDS = 30.0
"""Maximum time from the kill of a process to Ray's report of it."""
_LAST_LINE_LENGTH = 200


class MemoryKills:
    """Detects that the kernel of this machine has killed a process to free memory. Other machines are not covered."""

    def __init__(self, counters: Path = Path("/proc/vmstat"), *, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._clock = clock
        self._last_count = self._count()
        self._unclaimed: list[float] = []
        """Times of detected kills that are not assigned to a trial yet."""

    def poll(self) -> None:
        """Record new kills. Call it often, so that their times are accurate."""
        before, self._last_count = self._last_count, self._count()
        self._unclaimed += [self._clock()] * (self._last_count - before)

    def claim(self) -> bool:
        """Return whether a recent kill may explain a failed process, and assign it to that process."""
        self.poll()
        self._unclaimed = [when for when in self._unclaimed if self._clock() - when <= _CLAIM_SECONDS]
        if not self._unclaimed:
            return False
        self._unclaimed.pop(0)
        return True

    def _count(self) -> int:
        try:
            for line in self._counters.read_text(encoding="ascii").splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
        except (OSError, ValueError):
            pass
        return 0


def process_failure_message(job: Job, *, ray_error: str, memory: MemoryKills) -> TrialMessage:
    """Return the message to the ledger for a trial whose process has failed.

    Args:
        job: The trial.
        ray_error: Ray's error of the trial.
        memory: Kills by the kernel.
    """
    if _RAY_OUT_OF_MEMORY in ray_error:
        return out_of_memory_message(KILLED_BY_RAY)
    if memory.claim():
        return out_of_memory_message(_KILLED_BY_KERNEL)
    log = _end_of_log(job.log)
    if (limit := ended_by_limit(log, job)) is not None:
        return TrialMessage(outcome=Outcome.FAILED, error=str(limit), error_class=limit.error_class)
    line = last_log_line(job.log)
    output = f". Its last output: {truncated(line, _LAST_LINE_LENGTH)}" if line else ""
    error = f"its process crashed or was killed, or its machine failed{output}"
    return TrialMessage(outcome=Outcome.INTERRUPTED, error=error, error_class=ErrorClass.PROCESS_DIED)


def out_of_memory_message(error: str) -> TrialMessage:
    """Return the message to the ledger for a trial that was killed because of its memory."""
    return TrialMessage(outcome=Outcome.INTERRUPTED, error=error, error_class=ErrorClass.OUT_OF_MEMORY)


def _end_of_log(log: str) -> str:
    content = read_log(log, runs=Path())
    return "" if content is None else content[-_TAIL_BYTES:].decode(errors="replace")


def last_log_line(log: str) -> str:
    """Return the line of a fatal Python error in a trial's log, else the last line."""
    lines = [line.strip() for line in _end_of_log(log).splitlines()]
    fatal = [line for line in lines if line.startswith("Fatal Python error:")]
    return (fatal or [line for line in lines if line] or [""])[-1]
