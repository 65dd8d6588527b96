"""Where the record of runs lies, without importing MLflow, which takes seconds."""

from __future__ import annotations

import os
from pathlib import Path

from sweeps.errors import RecordError

EXPERIMENT = "cifar10"


def store_uri(runs: Path) -> str:
    """Return where the record is: `MLFLOW_TRACKING_URI`, or the SQLite file in the runs folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{own_file(runs)}"


def own_file(runs: Path) -> Path:
    """Return the SQLite file that belongs to a runs folder, whether or not it is in use."""
    return runs.resolve() / "mlflow.db"


def is_own(runs: Path) -> bool:
    """Return whether the record in use is the runs folder's own, which only its own drivers write."""
    return sqlite_file(store_uri(runs)) == own_file(runs)


def experiment_name() -> str:
    """Return the name of the one experiment all sweeps share: `MLFLOW_EXPERIMENT_NAME`, or `cifar10`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def is_server(uri: str) -> bool:
    """Return whether the store is an MLflow server, which knows itself where artifacts go."""
    return uri.startswith(("http://", "https://"))


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def is_absent(uri: str) -> bool:
    """Return whether the store is a file that is not there, or empty: opening it would create it."""
    path = sqlite_file(uri)
    return path is not None and not (path.is_file() and path.stat().st_size)


def redact(uri: str) -> str:
    """Return a store's address as it may be printed: without user and password."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme in ("sqlite", "file"):
        return uri
    # A password may hold a slash, and a question mark's end a token.
    return f"{scheme}{separator}{rest.partition('?')[0].rpartition('@')[2]}"


def record_error(uri: str, *, reason: str) -> RecordError:
    """Return the error for a store that cannot be used, with what to do about it."""
    path = sqlite_file(uri)
    if path is not None:
        advice = f"check that {path.parent} can be written and has space, or set MLFLOW_TRACKING_URI"
    elif is_server(uri):
        advice = "check that the server is up, or unset MLFLOW_TRACKING_URI to record in the runs folder"
    else:
        advice = "check MLFLOW_TRACKING_URI, or unset it to record in the runs folder"
    return RecordError(f"the record at {redact(uri)} cannot be used: {reason}; {advice}")


def quoted(value: str) -> str:
    """Return a text as MLflow's filter language writes it.

    Raises:
        RecordError: where it holds both kinds of quotes, which that language cannot write.
    """
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    raise RecordError(f"MLflow cannot search for {value!r}: use a name without quotes")
