"""Whether whatever keeps the record answers, asked without MLflow and within seconds."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from sweeps.core.errors import RecordError
from sweeps.record.sqlite_store import is_damaged, require_whole
from sweeps.record.store import is_absent, is_own, is_server, own_file, redact, sqlite_file, store_uri
from sweeps.record.stores import open_store
from sweeps.record.waiting import patience_with
from sweeps.system.machine import bypass_proxy_here

ANSWER_SECONDS = 5.0


def record_fault(runs: Path) -> str | None:
    """Return why the record in use cannot be had, and what to do; None where it answers.

    A server has `ANSWER_SECONDS`. A file that is not there yet is well: the first sweep makes it.
    """
    try:
        uri = store_uri(runs)
    except RecordError as error:  # no address
        return str(error)
    if is_server(uri):
        return _server_fault(uri)
    path = sqlite_file(uri)
    if path is not None and not is_absent(uri):
        try:
            require_whole(path, thorough=True)
            open_store(runs)
        except RecordError as error:
            return str(error)
    return None


def is_record_damaged(runs: Path) -> bool:
    """Return whether the record in use is the runs folder's own, and damaged: it can be written anew."""
    with contextlib.suppress(RecordError):  # no address: another fault
        return is_own(runs) and not is_absent(store_uri(runs)) and is_damaged(own_file(runs))
    return False


def is_lost(runs: Path) -> bool:
    """Return whether the runs folder's own record is the one in use, and is not there."""
    return is_own(runs) and is_absent(store_uri(runs))


def is_given_up(runs: Path) -> bool:
    """Return whether the record in use has not answered at the end of a run, which was said then."""
    return patience_with(store_uri(runs)).has_ended


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
