"""The store of the record that is in use, opened by what reads it fastest."""

from __future__ import annotations

from pathlib import Path

from sweeps.record.recorded_run import RunStore
from sweeps.record.sqlite_store import NoStore, SqliteStore, holds_known_tables, is_begun, require_whole
from sweeps.record.store import is_absent, sqlite_file, store_uri


def open_store(runs: Path) -> RunStore:
    """Return what reads the store in use; see `store_at`."""
    return store_at(store_uri(runs))


def store_at(uri: str) -> RunStore:
    """Return what reads the store at an address, without creating one that is not there.

    A SQLite file of the tables that are known here is read directly, in milliseconds; any other store through
    MLflow's client, whose import alone takes seconds.
    """
    path = sqlite_file(uri)
    if is_absent(uri):
        return NoStore(uri)
    if path is not None:
        require_whole(path)
        if not is_begun(path):
            return NoStore(uri)
        if holds_known_tables(path):
            return SqliteStore(path)
        from sweeps.record.schema import require_known_version

        require_known_version(path)
    from sweeps.record.client_store import ClientStore

    return ClientStore(uri)
