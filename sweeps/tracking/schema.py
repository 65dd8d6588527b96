"""The tables of a new SQLite store: made beside it and renamed, so that a crash leaves all of them or none.

MLflow makes them one by one for two seconds, and can go on from no place in between.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from sweeps.errors import RecordError
from sweeps.tracking.client import connect
from sweeps.tracking.store import is_absent, sqlite_file

_log = logging.getLogger(__name__)


def ensure_tables(uri: str) -> None:
    """Make a SQLite store's tables where there are none, or only some of them; leave any other store alone.

    To be called by one process at a time.

    Raises:
        RecordError: the file is no database.
    """
    path = sqlite_file(uri)
    if path is None:
        return
    if is_absent(uri):
        with _new_store(path) as fresh:
            fresh.replace(path)
        return
    if _holds_runs(path):
        return
    # A driver of version 0.2.0 or before may have died while MLflow made the tables.
    with _new_store(path) as fresh:
        if _version(path) == _version(fresh):
            return
        aside = path.with_name(f"{path.name}.unfinished")
        path.replace(aside)
        fresh.replace(path)
    _log.warning("%s had only some of its tables and no run in them: it is made anew, the old file is %s", path, aside)


@contextlib.contextmanager
def _new_store(path: Path) -> Iterator[Path]:
    """Give a whole, empty store in a file beside another, which goes unless it is moved away."""
    fresh = path.with_name(f"{path.name}.new-{os.getpid()}")
    for left_over in path.parent.glob(f"{path.name}.new-*"):
        left_over.unlink(missing_ok=True)
    try:
        connect(f"sqlite:///{fresh}").search_experiments(max_results=1)
        yield fresh
    finally:
        for left in (fresh, *path.parent.glob(f"{fresh.name}-*")):
            left.unlink(missing_ok=True)


def _holds_runs(path: Path) -> bool:
    return bool(_ask(path, "SELECT count(*) FROM runs"))


def _version(path: Path) -> object:
    """Return which of MLflow's changes of the tables was the last, None where not even that is there."""
    return _ask(path, "SELECT version_num FROM alembic_version")


def _ask(path: Path, query: str) -> object:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as database:
            row = database.execute(query).fetchone()
            return None if row is None else row[0]
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return None
        raise RecordError(
            f"{path} cannot be read ({error}): if it is no MLflow database, move it away or set MLFLOW_TRACKING_URI"
        ) from error
