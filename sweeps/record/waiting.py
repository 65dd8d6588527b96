"""How long this process waits for a store that does not answer: a while for each call, and 20 s in all once it is done.

MLflow and its databases try again for minutes, silently. A call that is given up continues in a daemon thread, which
ends with the process; what it still writes is found at the next start.
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
"""For one call, where MLflow's own limit, which the user may set for a slow server, is not larger."""
REQUEST_LIMIT, REQUEST_SECONDS = "MLFLOW_HTTP_REQUEST_TIMEOUT", 20
"""MLflow's variable for that limit, and the default here."""
END_SECONDS = 20.0
"""For all calls that are in vain once the work is done."""
SILENT_SECONDS = 3.0
"""Seconds of waiting before a message says for what."""
_ANEW_SECONDS = 60.0
"""Seconds after which a long-lived process, such as a notebook, asks a store again that was given up."""
_FILE_SECONDS = 120.0
"""For one call that carries files."""
_CARRIES_FILES = ("log_artifact", "download_artifact", "log_model_artifact")


class Patience:
    """What is left of it, for one store."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._left: float | None = None
        self._ended_at = 0.0
        self._has_said = False

    @property
    def has_ended(self) -> bool:
        """Whether the work is done and the store did not answer any more, a minute ago at most."""
        if self._left is None or self._left > 0:
            return False
        if time.monotonic() - self._ended_at > _ANEW_SECONDS:
            self._left = None
            return False
        return True

    def begin_end(self) -> float:
        """Count what is waited in vain from now on; return the seconds that there are for it, in all."""
        if self._left is None:
            self._left = END_SECONDS
        return max(0.0, self._left)

    def begin_work(self) -> None:
        """Forget what was: a new start waits anew."""
        self._left = None

    def give_up(self) -> None:
        """Wait no more, once the work is done."""
        self._count(END_SECONDS)

    def call(self, function: Callable[[], T], *, carries_files: bool = False) -> T:
        """Return what a call gives.

        Raises:
            TimeoutError: it took too long, or the store was given up before.
        """
        limit = max(_call_seconds(), _FILE_SECONDS if carries_files else 0.0)
        if self.has_ended:
            raise TimeoutError(f"it did not answer within {END_SECONDS:.0f} s")
        if self._left is not None and not carries_files:
            limit = min(limit, self._left)
        future: Future[T] = Future()
        # No executor: it would wait at the end of the process for a call that hangs.
        threading.Thread(target=_carry_out, args=(function, future), name="a call of the record", daemon=True).start()
        began = time.monotonic()
        if not wait([future], timeout=min(SILENT_SECONDS, limit)).done:
            self._say(limit)
            wait([future], timeout=limit - SILENT_SECONDS)
        if not future.done():
            self._count(time.monotonic() - began)
            raise TimeoutError(f"it does not answer within {limit:.0f} s")
        if future.exception() is not None:
            self._count(time.monotonic() - began)
        return future.result()

    def _say(self, limit: float) -> None:
        if not self._has_said:
            self._has_said = True
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
    said = os.environ.get(REQUEST_LIMIT, "")
    return float(said) if said.isdigit() and int(said) > REQUEST_SECONDS else CALL_SECONDS


@functools.cache
def patience_with(uri: str) -> Patience:
    """Return the patience that this process has with a store."""
    return Patience(uri)


class _PatientClient:
    """MLflow's client, each of whose calls is waited for with patience."""

    def __init__(self, client: MlflowClient, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        def call(*arguments: Any, **options: Any) -> Any:
            return self._patience.call(
                functools.partial(method, *arguments, **options), carries_files=name.startswith(_CARRIES_FILES)
            )

        return call


def patient_client(uri: str, make: Callable[[], MlflowClient]) -> MlflowClient:
    """Return a client of a store; of a file of this machine as it is, which answers or fails at once."""
    if sqlite_file(uri) is not None:
        return make()
    patience = patience_with(uri)
    return cast("MlflowClient", _PatientClient(patience.call(make), patience))
