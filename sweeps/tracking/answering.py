"""Whether whatever keeps the record answers, asked without MLflow and within seconds."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from sweeps.errors import RecordError
from sweeps.machine import bypass_proxy_here
from sweeps.tracking.recorded_run import open_store
from sweeps.tracking.store import is_absent, is_server, redact, sqlite_file, store_uri

ANSWER_SECONDS = 5.0


def record_fault(runs: Path) -> str | None:
    """Return why the record in use cannot be had, and what to do; None where it answers.

    A server has `ANSWER_SECONDS`. A file that is not there yet is well: the first sweep makes it.
    """
    uri = store_uri(runs)
    if is_server(uri):
        return _server_fault(uri)
    if sqlite_file(uri) is not None and not is_absent(uri):
        try:
            open_store(runs)
        except RecordError as error:
            return str(error)
    return None


def record_in_words(runs: Path) -> str:
    """Return where the record in use is, as it may be printed, and whether there is one yet."""
    uri = store_uri(runs)
    if is_absent(uri):
        return f"none yet at {redact(uri)}"
    return f"the server {redact(uri)} answers" if is_server(uri) else f"{redact(uri)} can be read"


def _server_fault(uri: str) -> str | None:
    advice = "start it, or unset MLFLOW_TRACKING_URI to record in the runs folder"
    bypass_proxy_here()
    try:
        parts = urlsplit(uri)
        # Without user and password: whoever asks for them is there.
        host, path = parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/health"
        address = parts._replace(netloc=host, path=path).geturl()
        with urllib.request.urlopen(address, timeout=ANSWER_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return None
        return f"the MLflow server {redact(uri)} answers with {error.code} ({error.reason}): {advice}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            return None  # whoever shows a certificate is there; MLflow's own settings say whether it is trusted
        reason = getattr(error, "reason", None) or error or type(error).__name__
        return f"no MLflow server answers at {redact(uri)} within {ANSWER_SECONDS:g} s ({reason}): {advice}"
