"""Where the record of runs lies, without importing MLflow, which takes seconds."""

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
    "set it to a server (http://HOST:5000), to a file (sqlite:///FOLDER/mlflow.db) or to a database "
    "(postgresql://...), or unset it to record in the runs folder"
)


def store_uri(runs: Path) -> str:
    """Return where the record is: `MLFLOW_TRACKING_URI`, or the SQLite file in the runs folder.

    Raises:
        RecordError: the variable holds no address of a store.
    """
    said = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not said:
        return uri_of_file(own_file(runs))
    if fault := _address_fault(said):
        raise RecordError(f"MLFLOW_TRACKING_URI is {redact(said)!r}: {fault}; {_ADVICE}")
    scheme, separator, rest = said.partition("://")
    return f"{scheme.lower()}{separator}{rest}"


def uri_of_file(path: Path) -> str:
    """Return the address of a SQLite store. In an address a question mark ends the path, and `%20` is a blank."""
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


def _address_fault(uri: str) -> str | None:
    """Return why an address names no store, None where it may be one."""
    scheme, separator, rest = uri.partition("://")
    kind = scheme.lower().partition("+")[0]
    if not separator and kind.startswith("sqlite:"):
        return "the address of a SQLite file has three slashes, sqlite:///mlflow.db"
    if kind == "file" or (not separator and not kind.startswith("databricks")):
        return "MLflow keeps no record in a folder any more"
    if kind in _SERVERS:
        try:
            return None if urlsplit(uri).hostname and urlsplit(uri).port != 0 else "it names no host"
        except ValueError as error:
            return f"it is no web address ({error})"
    if kind == "sqlite":
        path = sqlite_file(uri)
        if path is None:
            return "it names no file" if rest in ("", "/", "/:memory:") else "a SQLite file has three slashes"
        return f"{path} is a folder" if path.is_dir() else None
    plugins = {point.name for point in entry_points(group="mlflow.tracking_store")}
    if kind in (*_DATABASES, *plugins) or kind.startswith("databricks"):
        return None
    return f"{scheme}:// is no kind of store that MLflow knows"


def own_file(runs: Path) -> Path:
    """Return the SQLite file that belongs to a runs folder, whether or not it is in use."""
    return runs.resolve() / "mlflow.db"


def is_own(runs: Path) -> bool:
    """Return whether the record in use is the runs folder's own, which only its own drivers write."""
    return (path := sqlite_file(store_uri(runs))) is not None and path.resolve() == own_file(runs)


def experiment_name() -> str:
    """Return the name of the one experiment all sweeps share: `MLFLOW_EXPERIMENT_NAME`, or `cifar10`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def is_server(uri: str) -> bool:
    """Return whether the store is an MLflow server, which knows itself where artifacts go."""
    return uri.partition("://")[0].lower() in _SERVERS


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, None for any other store, and for one in memory."""
    scheme, _, rest = uri.partition(":///")
    if scheme.lower().partition("+")[0] != "sqlite":
        return None
    name = unquote(rest.partition("?")[0])
    if name.startswith("file:"):  # SQLite's form of an address, which may have a query too
        name = unquote(name.removeprefix("file:").partition("?")[0])
    return None if name in ("", ":memory:") else Path(name)


def is_absent(uri: str) -> bool:
    """Return whether the store is a file that is not there: opening it would create it."""
    path = sqlite_file(uri)
    return path is not None and not os.path.lexists(path)


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
