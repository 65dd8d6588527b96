"""Ends a training that takes longer than `limits.epoch_timeout` or `limits.trial_timeout`, and logs where it was."""

from __future__ import annotations

import contextlib
import faulthandler
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import TextIO

from sweeps.core.formatting import duration
from sweeps.core.job import Job
from sweeps.core.task import TimedOutError
from sweeps.core.trial import ErrorClass

GRACE_SECONDS = 5.0
"""Time after the limit at which the process ends, if no Python code has run in its main thread since."""
CLEANUP_SECONDS = 60.0
"""Time after the limit at which the process ends, if its training has received the error and does not return."""
_DUMPED = re.compile(r"^Timeout \((\d+):(\d\d):(\d\d)(?:\.\d+)?\)!", re.MULTILINE)
"""First line of a traceback that `faulthandler` writes before it ends a process."""


@dataclass(frozen=True, kw_only=True)
class TimeLimit:
    """The limit that a part of a training reaches first."""

    seconds: float
    """From now."""
    error: TimedOutError
    ends: float
    """Value of `time.monotonic()` at the limit."""


def next_limit(job: Job, *, spent: float, doing: str) -> TimeLimit | None:
    """Return the limit that the next epoch of a trial reaches first; None without limits.

    Args:
        job: The trial.
        spent: Seconds that it has trained so far.
        doing: What is limited, such as `epoch 3`.
    """
    left = {
        ErrorClass.EPOCH_TIMEOUT: job.epoch_timeout,
        ErrorClass.TRIAL_TIMEOUT: None if job.trial_timeout is None else job.trial_timeout - spent,
    }
    given = {name: seconds for name, seconds in left.items() if seconds is not None}
    if not given:
        return None
    name = min(given, key=lambda each: given[each])
    seconds = max(given[name], 0.001)
    return TimeLimit(seconds=seconds, error=_error(name, job, doing=doing), ends=time.monotonic() + seconds)


def _error(name: ErrorClass, job: Job, *, doing: str) -> TimedOutError:
    if name is ErrorClass.EPOCH_TIMEOUT:
        text = f"{doing} took longer than limits.epoch_timeout ({duration(job.epoch_timeout or 0)})"
    else:
        text = f"the trial took longer than limits.trial_timeout ({duration(job.trial_timeout or 0)}), in {doing}"
    return TimedOutError(f"{text}. Its log shows where it was", error_class=name.value)


@contextlib.contextmanager
def limited(limit: TimeLimit | None, *, log: TextIO, may_exit: bool) -> Iterator[None]:
    """Raise the error of a limit within the block when it is reached, and write where the training is to its log.

    The error is raised in the main thread, as Ctrl-C is. A library's code that does not return to Python cannot be
    interrupted: with `may_exit` the process ends some seconds later, otherwise only the log shows where it is.

    Args:
        limit: The limit; None for no limit.
        log: The log of the trial, a file.
        may_exit: Whether the process may be ended.

    Raises:
        TimedOutError: The limit was reached.
    """
    if limit is None:
        yield
        return
    faulthandler.dump_traceback_later(limit.seconds + GRACE_SECONDS, exit=may_exit, file=log)
    is_within = True

    def on_alarm(number: int, frame: FrameType | None) -> None:
        if is_within:
            log.write(f"{limit.error.args[0]}:\n")
            faulthandler.dump_traceback(file=log)
            faulthandler.dump_traceback_later(CLEANUP_SECONDS, exit=may_exit, file=log)
            raise limit.error

    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, on_alarm) if is_main else None
    try:
        if is_main:
            signal.setitimer(signal.ITIMER_REAL, limit.seconds)
        yield
    finally:
        is_within = False
        if is_main:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


def ended_by_limit(log: str, job: Job) -> TimedOutError | None:
    """Return the error of the limit at which the process of a trial has ended, from the end of its log; else None."""
    attempt = log[max(0, log.rfind(f"trial {job.number} on ")) :]
    if (dumped := _DUMPED.search(attempt)) is None:
        return None
    hours, minutes, seconds = map(int, dumped.groups())
    after = hours * 3600 + minutes * 60 + seconds
    limits = (job.epoch_timeout, job.trial_timeout)
    is_epoch = None not in limits and after >= int((job.epoch_timeout or 0) + GRACE_SECONDS)
    is_epoch = job.trial_timeout is None or is_epoch or "limits.epoch_timeout" in attempt
    return _error(ErrorClass.EPOCH_TIMEOUT if is_epoch else ErrorClass.TRIAL_TIMEOUT, job, doing="an epoch")
