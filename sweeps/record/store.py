"""Address of the record, without importing MLflow, which takes seconds."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sweeps.core.errors import RecordError

EXPERIMENT = "cifar10"

_SERVERS = ("http", "https")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_ADVICE = (
    "Set it to a server (http://HOST:5000), a file (sqlite:///FOLDER/mlflow.db) or a database (postgresql://...), or "
    "unset it to record in the runs folder."
)


def store_uri(runs: Path) -> str:
    """Return the URI of the record: `MLFLOW_TRACKING_URI`, or the SQLite file in the runs folder.

    Raises:
        RecordError: The variable is not a valid URI of a store.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        return uri_of_file(default_file(runs))
    if problem := _address_problem(uri):
        raise RecordError(f"MLFLOW_TRACKING_URI is {redact(uri)!r}: {problem}. {_ADVICE}")
    scheme, separator, rest = uri.partition("://")
    return f"{scheme.lower()}{separator}{rest}"


def uri_of_file(path: Path) -> str:
    """Return the URI of a SQLite store, with `%` and `?` of the path escaped."""
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


def _address_problem(uri: str) -> str | None:
    """Return why a URI is not valid for a store; None if it may be."""
    scheme, separator, rest = uri.partition("://")
    kind = scheme.lower().partition("+")[0]
    if not separator and kind.startswith("sqlite:"):
        return "the URI of a SQLite file has three slashes, sqlite:///mlflow.db"
    if kind == "file" or (not separator and not kind.startswith("databricks")):
        return "MLflow no longer supports a folder as record"
    if kind in _SERVERS:
        try:
            return None if urlsplit(uri).hostname and urlsplit(uri).port != 0 else "it has no host"
        except ValueError as error:
            return f"it is not a valid URL ({error})"
    if kind == "sqlite":
        path = sqlite_file(uri)
        if path is None:
            return "it has no file name" if rest in ("", "/", "/:memory:") else "a SQLite URI has three slashes"
        return f"{path} is a folder" if path.is_dir() else None
    plugins = {point.name for point in entry_points(group="mlflow.tracking_store")}
    if kind in (*_DATABASES, *plugins) or kind.startswith("databricks"):
        return None
    return f"MLflow does not support {scheme}://"


def default_file(runs: Path) -> Path:
    """Return the SQLite file of the default record of a runs folder, also if another record is in use."""
    return runs.resolve() / "mlflow.db"


def uses_default_record(runs: Path) -> bool:
    """Return whether the record in use is the file in the runs folder, which only drivers of this folder write."""
    return (path := sqlite_file(store_uri(runs))) is not None and path.resolve() == default_file(runs)


def experiment_name() -> str:
    """Return the name of the experiment of all sweeps: `MLFLOW_EXPERIMENT_NAME`, or `cifar10`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def is_server(uri: str) -> bool:
    """Return whether the store is an MLflow server, which decides where artifacts are stored."""
    return uri.partition("://")[0].lower() in _SERVERS


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store; None for any other store and for one in memory."""
    scheme, _, rest = uri.partition(":///")
    if scheme.lower().partition("+")[0] != "sqlite":
        return None
    name = unquote(rest.partition("?")[0])
    if name.startswith("file:"):  # SQLite's URI format, which may have a query too
        name = unquote(name.removeprefix("file:").partition("?")[0])
    return None if name in ("", ":memory:") else Path(name)


def is_absent(uri: str) -> bool:
    """Return whether the store is a file that does not exist; opening it would create it."""
    path = sqlite_file(uri)
    return path is not None and not os.path.lexists(path)


def redact(uri: str) -> str:
    """Return a store's URI without user and password."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme in ("sqlite", "file"):
        return uri
    # A password may contain a slash, and the query a token.
    return f"{scheme}{separator}{rest.partition('?')[0].rpartition('@')[2]}"


def record_error(uri: str, *, reason: str) -> RecordError:
    """Return the error for a store that cannot be used."""
    path = sqlite_file(uri)
    if path is not None:
        advice = f"Check that {path.parent} is writable and has free space, or set MLFLOW_TRACKING_URI."
    elif is_server(uri):
        advice = "Start the server, or unset MLFLOW_TRACKING_URI to use the record in the runs folder."
    else:
        advice = "Check MLFLOW_TRACKING_URI, or unset it to record in the runs folder."
    return RecordError(f"the record at {redact(uri)} cannot be used: {reason.rstrip('.')}. {advice}")


def quoted(value: str) -> str:
    """Return a text quoted for MLflow's filter language.

    Raises:
        RecordError: It contains both kinds of quotes, which the language does not support.
    """
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    raise RecordError(f"MLflow cannot search for {value!r}. Use a name without quotes.")
