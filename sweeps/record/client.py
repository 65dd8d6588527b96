"""Wrapper of MLflow's client: no log noise, short timeouts, `RecordError` for its errors, all pages of results."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.record.mapping import MetricPoint
from sweeps.record.store import is_server, record_error, redact, sqlite_file
from sweeps.record.timeouts import REQUEST_LIMIT, REQUEST_SECONDS, client_with_timeouts
from sweeps.system.machine import bypass_proxy_for_localhost

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PAGE = 1000
_METRICS_PER_BATCH = 800
_PARAMS_PER_BATCH = 100
_TAGS_PER_BATCH = 100
"""MLflow's limits of a batch: 1,000 metrics, 100 params, 100 tags, and 1,000 of all together."""


def connect(uri: str) -> MlflowClient:
    """Return a client of the store, without telemetry and with short timeouts."""
    _set_environment()
    from mlflow import MlflowClient

    # It prints a stack trace of each failed statement, in addition to the error that it raises.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    # It warns about unknown error codes, such as of a proxy or a login page, which are reported here.
    logging.getLogger("mlflow.exceptions").setLevel(logging.ERROR)
    client = client_with_timeouts(uri, lambda: MlflowClient(tracking_uri=uri))
    _remove_stray_folder(uri)
    return client


def _remove_stray_folder(uri: str) -> None:
    """Remove the empty folder `a%3Fb` that MLflow creates for a SQLite file in a folder named `a?b`."""
    path, literal = sqlite_file(uri), Path(uri.partition(":///")[2].partition("?")[0]).parent
    if path is not None and literal != path.parent:
        with contextlib.suppress(OSError):
            literal.rmdir()


def _set_environment() -> None:
    """Set environment variables that MLflow reads, some at its import. Existing values are kept."""
    bypass_proxy_for_localhost()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # MLflow's default of seven retries takes minutes, and the queue retries anyway.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault(REQUEST_LIMIT, str(REQUEST_SECONDS))


@contextlib.contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Raise errors of MLflow, its database and the file system as `RecordError`."""
    _set_environment()
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError, ValueError, LookupError) as error:
        if not is_server(uri) and isinstance(error, LookupError):
            raise  # a bug in this project: a file store raises no LookupError
        lines = [*str(error).strip().splitlines(), type(error).__name__]
        reason = (is_server(uri) and _connection_failure(error)) or lines[0]
        raise record_error(uri, reason=_short(reason.replace(uri, redact(uri)))) from error


def _connection_failure(error: BaseException | None) -> str:
    """Return why a server was not reached, from the system's error in a chain of libraries' errors; empty if it was."""
    found = ""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            found = f"it does not answer ({error.strerror})"
        error = error.__cause__ or error.__context__
    return found


def _short(reason: str) -> str:
    """Return a reason, cut to 300 characters: a server may answer with a page of HTML."""
    return reason if len(reason) <= 300 else f"{reason[:300]}..."


def search_runs(client: MlflowClient, experiment_id: str, filter_string: str) -> Iterator[Run]:
    """Yield all matching runs, page by page. MLflow returns 1,000 per call without a note that there are more."""
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], filter_string, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def log_batch(
    client: MlflowClient,
    run_id: str,
    *,
    metrics: Sequence[MetricPoint] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write in as few calls as MLflow's limits allow, the tags with the last call."""
    from mlflow.entities import Metric, Param, RunTag

    points = [Metric(point.name, point.value, point.timestamp_ms, point.step) for point in metrics]
    fields = [Param(name, value) for name, value in (params or {}).items()]
    labels = [RunTag(name, value) for name, value in (tags or {}).items()]
    while points or fields or labels:
        is_last = len(points) <= _METRICS_PER_BATCH and len(fields) <= _PARAMS_PER_BATCH
        client.log_batch(
            run_id,
            metrics=points[:_METRICS_PER_BATCH],
            params=fields[:_PARAMS_PER_BATCH],
            tags=labels[:_TAGS_PER_BATCH] if is_last else [],
        )
        points, fields = points[_METRICS_PER_BATCH:], fields[_PARAMS_PER_BATCH:]
        if is_last:
            labels = labels[_TAGS_PER_BATCH:]
