"""Timeouts for a store that does not answer: a limit per call, and `END_SECONDS` in all after the work is done.

MLflow and its databases retry silently for minutes. After a timeout the call continues in a daemon thread, which ends
with the process; the next start finds what it still writes.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sweeps.record.store import redact, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

_log = logging.getLogger(__name__)

T = TypeVar("T")

CALL_SECONDS = 20.0
"""Limit of one call, unless `REQUEST_LIMIT` is larger."""
REQUEST_LIMIT, REQUEST_SECONDS = "MLFLOW_HTTP_REQUEST_TIMEOUT", 20
"""MLflow's environment variable for the limit of a request, and the default here."""
END_SECONDS = 20.0
"""Limit of all failed calls together after the work is done."""
NOTICE_SECONDS = 3.0
"""Time after which a warning is logged that the process waits."""
_RETRY_AFTER_SECONDS = 60.0
"""Time after which a long-lived process, such as a notebook, calls an unresponsive store again."""
_FILE_SECONDS = 120.0
"""Limit of one call that transfers files."""
_CARRIES_FILES = ("log_artifact", "download_artifact", "log_model_artifact")


class WaitBudget:
    """The remaining time that this process waits for one store."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._left: float | None = None
        self._ended_at = 0.0
        self._has_warned = False

    @property
    def is_used_up(self) -> bool:
        """Whether the time was used up after the work was done, at most `_RETRY_AFTER_SECONDS` ago."""
        if self._left is None or self._left > 0:
            return False
        if time.monotonic() - self._ended_at > _RETRY_AFTER_SECONDS:
            self._left = None
            return False
        return True

    def start_final_phase(self) -> float:
        """Count failed calls from now on; return the remaining seconds."""
        if self._left is None:
            self._left = END_SECONDS
        return max(0.0, self._left)

    def reset(self) -> None:
        """Restore the full time, for a new start."""
        self._left = None

    def use_up(self) -> None:
        """Set the remaining time to 0, if the work is done."""
        self._count(END_SECONDS)

    def call(self, function: Callable[[], T], *, carries_files: bool = False) -> T:
        """Call a function with the timeout; return its result.

        Raises:
            TimeoutError: The call took too long, or the time is used up.
        """
        limit = max(_call_seconds(), _FILE_SECONDS if carries_files else 0.0)
        if self.is_used_up:
            raise TimeoutError(f"it did not answer within {END_SECONDS:.0f} s")
        if self._left is not None and not carries_files:
            limit = min(limit, self._left)
        future: Future[T] = Future()
        # Not an executor, which would wait at exit for a call that hangs.
        threading.Thread(target=_carry_out, args=(function, future), name="a call of the record", daemon=True).start()
        began = time.monotonic()
        if not wait([future], timeout=min(NOTICE_SECONDS, limit)).done:
            self._warn(limit)
            wait([future], timeout=limit - NOTICE_SECONDS)
        if not future.done():
            self._count(time.monotonic() - began)
            raise TimeoutError(f"it does not answer within {limit:.0f} s")
        if future.exception() is not None:
            self._count(time.monotonic() - began)
        return future.result()

    def _warn(self, limit: float) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning("waiting for the record at %s, at most %.0f s", redact(self._uri), limit)

    def _count(self, seconds: float) -> None:
        if self._left is not None:
            self._left -= seconds
            self._ended_at = time.monotonic()


def _carry_out(function: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:  # raised again in the waiting thread
        future.set_exception(error)


def _call_seconds() -> float:
    limit = os.environ.get(REQUEST_LIMIT, "")
    return float(limit) if limit.isdigit() and int(limit) > REQUEST_SECONDS else CALL_SECONDS


@functools.cache
def wait_budget(uri: str) -> WaitBudget:
    """Return this process's budget for a store."""
    return WaitBudget(uri)


class _TimeoutClient:
    """MLflow's client with a timeout for each call."""

    def __init__(self, client: MlflowClient, budget: WaitBudget) -> None:
        self._client = client
        self._budget = budget

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            return self._budget.call(
                functools.partial(method, *arguments, **options), carries_files=name.startswith(_CARRIES_FILES)
            )

        return call


def client_with_timeouts(uri: str, make: Callable[[], MlflowClient]) -> MlflowClient:
    """Return a client with timeouts; for a local file the plain client, which does not wait for long."""
    if sqlite_file(uri) is not None:
        return make()
    budget = wait_budget(uri)
    return cast("MlflowClient", _TimeoutClient(budget.call(make), budget))
