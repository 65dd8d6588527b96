"""Opens the record in use with its fastest reader."""

from __future__ import annotations

from pathlib import Path

from sweeps.record.recorded_run import RunStore
from sweeps.record.sqlite_store import EmptyStore, SqliteStore, check_intact, has_experiment, has_known_tables
from sweeps.record.store import is_absent, sqlite_file, store_uri


def open_store(runs: Path) -> RunStore:
    """Return a reader of the record in use; see `store_at`."""
    return store_at(store_uri(runs))


def store_at(uri: str) -> RunStore:
    """Return a reader of the store at a URI; a missing store is not created.

    A SQLite file with known tables is read directly, in milliseconds. Other stores are read through MLflow's client,
    whose import takes seconds.
    """
    path = sqlite_file(uri)
    if is_absent(uri):
        return EmptyStore(uri)
    if path is not None:
        check_intact(path)
        if not has_experiment(path):
            return EmptyStore(uri)
        if has_known_tables(path):
            return SqliteStore(path)
        from sweeps.record.schema import require_known_version

        require_known_version(path)
    from sweeps.record.client_store import ClientStore

    return ClientStore(uri)
