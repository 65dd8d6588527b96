"""The tables of a new SQLite store: made beside it and renamed, so that a crash leaves all of them or none.

MLflow makes them one by one for two seconds, and cannot go on from the middle.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sweeps.core.errors import DamagedRecordError, RecordError
from sweeps.record.client import connect
from sweeps.record.sqlite_store import opened, require_whole
from sweeps.record.store import is_absent, sqlite_file, uri_of_file
from sweeps.system.compat import KNOWN_TABLES, knows_tables

_log = logging.getLogger(__name__)


def ensure_tables(uri: str) -> None:
    """Make a SQLite store's tables where there is no file yet; leave any other store alone.

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
    require_whole(path)
    require_known_version(path)


def set_damaged_aside(path: Path) -> Path | None:
    """Move a record that is damaged aside, and return where it is now; None where it is whole by now.

    To be called by one process at a time.
    """
    try:
        require_whole(path, thorough=True)
        return None
    except DamagedRecordError:
        pass
    aside = path.with_name(f"{path.name}.damaged-{datetime.now():%Y%m%d-%H%M%S}")
    path.replace(aside)
    for end in ("-journal", "-wal", "-shm"):  # of the old file: in a new one SQLite would play them back
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).replace(aside.with_name(aside.name + end))
    _log.warning("%s was damaged: it is kept as %s, and written anew from the journals", path, aside)
    return aside


@contextlib.contextmanager
def _new_store(path: Path) -> Iterator[Path]:
    """Give a whole, empty store in a file beside another, which goes unless it is moved away."""
    fresh = path.with_name(f"{path.name}.new-{os.getpid()}")
    for left_over in path.parent.glob(f"{path.name}.new-*"):
        left_over.unlink(missing_ok=True)
    try:
        connect(uri_of_file(fresh)).search_experiments(max_results=1)
        yield fresh
    finally:
        for left in (fresh, *path.parent.glob(f"{fresh.name}-*")):
            left.unlink(missing_ok=True)


def require_known_version(path: Path) -> None:
    """Refuse the tables of a newer MLflow, which this one cannot read.

    Raises:
        RecordError: names the version to install, where the record says it.
    """
    revision = _version(path)
    if revision is None or revision in KNOWN_TABLES:
        return
    import mlflow

    if not knows_tables(uri_of_file(path), str(revision)):
        written_by = _newest_version_in(path)
        wanted = "--upgrade mlflow" if written_by is None else f"mlflow=={written_by}"
        raise RecordError(
            f"{path} was last written by a newer MLflow than the {mlflow.__version__} that is installed (its tables "
            f"have revision {revision}): `pip install {wanted}`"
        )


def _newest_version_in(path: Path) -> str | None:
    """Return the newest version of MLflow that a run says it was recorded with, where it is newer than this one."""
    import mlflow
    from packaging.version import InvalidVersion, Version

    newest = Version(mlflow.__version__)
    with opened(path) as database:
        for (text,) in database.execute("SELECT DISTINCT value FROM tags WHERE key = 'mlflow'"):
            with contextlib.suppress(InvalidVersion, TypeError):
                newest = max(newest, Version(text))
    return None if newest == Version(mlflow.__version__) else str(newest)


def _version(path: Path) -> object:
    """Return which of MLflow's changes of the tables was the last, None where not even that is there."""
    return _ask(path, "SELECT version_num FROM alembic_version")


def _ask(path: Path, query: str) -> object:
    with opened(path) as database:
        try:
            row = database.execute(query).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
        return None if row is None else row[0]
