"""What is known of a trial's process that died: whether memory was to blame, and its last words.

Ray says that a worker is gone, not how: no exit code, no signal. Calls of `sys.exit` and `os._exit` do not come here
(`fault`): they are errors of the training like any other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sweeps.core.formatting import truncated
from sweeps.core.job import Job
from sweeps.core.trial import ErrorClass, Outcome, TrialMessage
from sweeps.store.bucket import read_log

KILLED_BY_RAY = "its process was killed by Ray, because the memory of its machine was nearly used up"
_KILLED_BY_KERNEL = "its process was killed by the operating system, because there was no memory left"
_SAID_OF_MEMORY = "killed due to the node running low on memory"
_TAIL_BYTES = 20_000
_CLAIM_SECONDS = 30.0
"""From the kill of a process to Ray's word that it is gone: a few seconds."""
_LAST_WORDS_LENGTH = 200


class MemoryKills:
    """Notices when the kernel of this machine kills a process to get memory back. It knows of no other machine."""

    def __init__(self, counters: Path = Path("/proc/vmstat"), *, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._clock = clock
        self._seen = self._count()
        self._unclaimed: list[float] = []
        """When each kill was noticed that no trial's death was put down to yet."""

    def look(self) -> None:
        """Take note of the kills since the last look; to be called often, so that a kill is known by its time."""
        before, self._seen = self._seen, self._count()
        self._unclaimed += [self._clock()] * (self._seen - before)

    def claim(self) -> bool:
        """Return whether a kill just now may have been the one of a process that died, and count it as that."""
        self.look()
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


def death_message(job: Job, *, said: str, memory: MemoryKills) -> TrialMessage:
    """Return what the ledger is told of a trial whose process is gone.

    Args:
        job: the trial.
        said: what Ray says of it.
        memory: what the kernel says.
    """
    if _SAID_OF_MEMORY in said:
        return out_of_memory_message(KILLED_BY_RAY)
    if memory.claim():
        return out_of_memory_message(_KILLED_BY_KERNEL)
    words = last_words(job.log)
    said = f"; the last it said: {truncated(words, _LAST_WORDS_LENGTH)}" if words else ""
    error = f"its process died: it crashed, was killed, or its machine went away{said}"
    return TrialMessage(outcome=Outcome.INTERRUPTED, error=error, error_class=ErrorClass.PROCESS_DIED)


def out_of_memory_message(error: str) -> TrialMessage:
    """Return what the ledger is told of a trial that was killed for its memory."""
    return TrialMessage(outcome=Outcome.INTERRUPTED, error=error, error_class=ErrorClass.OUT_OF_MEMORY)


def last_words(log: str) -> str:
    """Return what a trial's log ends with: of a crash below Python what it was, else the last line."""
    content = read_log(log, runs=Path())
    if content is None:
        return ""
    lines = [line.strip() for line in content[-_TAIL_BYTES:].decode(errors="replace").splitlines()]
    fatal = [line for line in lines if line.startswith("Fatal Python error:")]
    return (fatal or [line for line in lines if line] or [""])[-1]
