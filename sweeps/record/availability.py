"""Checks whether the store of the record is available, without importing MLflow and within seconds."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from sweeps.core.errors import RecordError
from sweeps.record.sqlite_store import check_intact, is_damaged
from sweeps.record.store import default_file, is_absent, is_server, redact, sqlite_file, store_uri, uses_default_record
from sweeps.record.stores import open_store
from sweeps.record.timeouts import wait_budget
from sweeps.system.machine import bypass_proxy_for_localhost

ANSWER_SECONDS = 5.0


def record_problem(runs: Path) -> str | None:
    """Return an error message if the record in use is not available; None if it is.

    A server has `ANSWER_SECONDS` to answer. A missing file is no problem: the first sweep creates it.
    """
    try:
        uri = store_uri(runs)
    except RecordError as error:  # an invalid address
        return str(error)
    if is_server(uri):
        return _server_problem(uri)
    path = sqlite_file(uri)
    if path is not None and not is_absent(uri):
        try:
            check_intact(path, thorough=True)
            open_store(runs)
        except RecordError as error:
            return str(error)
    return None


def is_record_damaged(runs: Path) -> bool:
    """Return whether the default record is in use and damaged: it can be rebuilt from the journals."""
    with contextlib.suppress(RecordError):  # an invalid address is another problem
        return uses_default_record(runs) and not is_absent(store_uri(runs)) and is_damaged(default_file(runs))
    return False


def is_record_missing(runs: Path) -> bool:
    """Return whether the default record is in use and does not exist."""
    return uses_default_record(runs) and is_absent(store_uri(runs))


def is_unresponsive(runs: Path) -> bool:
    """Return whether the record in use did not answer at the end of a run, for which a warning was logged."""
    return wait_budget(store_uri(runs)).is_used_up


def describe_record(runs: Path) -> str:
    """Return the address of the record in use and its state, without secrets."""
    uri = store_uri(runs)
    if is_absent(uri):
        return f"no record yet at {redact(uri)} (the first `sweeps run` creates it)"
    return f"the server {redact(uri)} answers" if is_server(uri) else f"{redact(uri)} can be read"


def _server_problem(uri: str) -> str | None:
    advice = "Start it, or unset MLFLOW_TRACKING_URI to use the record in the runs folder."
    bypass_proxy_for_localhost()
    try:
        parts = urlsplit(uri)
        # Without user and password: a server that asks for them is up.
        host, path = parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/health"
        address = parts._replace(netloc=host, path=path).geturl()
        with urllib.request.urlopen(address, timeout=ANSWER_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return None
        return f"the MLflow server {redact(uri)} answers with {error.code} ({error.reason}). {advice}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            return None  # a server with a certificate is up; MLflow's settings decide whether it is trusted
        reason = getattr(error, "reason", None) or error or type(error).__name__
        return f"no MLflow server answers at {redact(uri)} within {ANSWER_SECONDS:g} s ({reason}). {advice}"
