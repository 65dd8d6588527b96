"""Tables of a new SQLite store, created in a temporary file that is renamed, so that a crash leaves all or none.

MLflow creates them one by one in two seconds, and cannot continue from an incomplete set.
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
from sweeps.record.sqlite_store import check_intact, opened
from sweeps.record.store import is_absent, sqlite_file, uri_of_file
from sweeps.system.compat import READABLE_REVISIONS, supports_revision

_log = logging.getLogger(__name__)


def ensure_tables(uri: str) -> None:
    """Create the tables of a SQLite store if the file does not exist, else check them; ignore other stores.

    Call it from one process at a time.

    Raises:
        RecordError: The file is not a database, or of a newer MLflow.
    """
    path = sqlite_file(uri)
    if path is None:
        return
    if is_absent(uri):
        with _new_store(path) as fresh:
            fresh.replace(path)
        return
    check_intact(path)
    require_known_version(path)


def move_damaged_aside(path: Path) -> Path | None:
    """Rename a damaged record and return its new path; None if it is intact.

    Call it from one process at a time.
    """
    try:
        check_intact(path, thorough=True)
        return None
    except DamagedRecordError:
        pass
    aside = path.with_name(f"{path.name}.damaged-{datetime.now():%Y%m%d-%H%M%S}")
    path.replace(aside)
    for end in ("-journal", "-wal", "-shm"):  # SQLite would apply them to the new file
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).replace(aside.with_name(aside.name + end))
    _log.warning("%s was damaged. Renamed it to %s and rebuilding it from the journals", path, aside)
    return aside


@contextlib.contextmanager
def _new_store(path: Path) -> Iterator[Path]:
    """Yield a complete, empty store in a temporary file next to `path`, deleted at the end unless it is moved."""
    fresh = path.with_name(f"{path.name}.new-{os.getpid()}")
    for stale in path.parent.glob(f"{path.name}.new-*"):
        stale.unlink(missing_ok=True)
    try:
        connect(uri_of_file(fresh)).search_experiments(max_results=1)
        yield fresh
    finally:
        for left in (fresh, *path.parent.glob(f"{fresh.name}-*")):
            left.unlink(missing_ok=True)


def require_known_version(path: Path) -> None:
    """Check that the tables are not of a newer MLflow, which this one cannot read.

    Raises:
        RecordError: They are. The message names the version to install if the record contains it.
    """
    revision = _version(path)
    if revision is None or revision in READABLE_REVISIONS:
        return
    import mlflow

    if not supports_revision(uri_of_file(path), str(revision)):
        written_by = _newest_version_in(path)
        requirement = "--upgrade mlflow" if written_by is None else f"mlflow=={written_by}"
        raise RecordError(
            f"{path} was last written by a newer MLflow than the installed {mlflow.__version__} (its tables have "
            f"revision {revision}). Run `pip install {requirement}`."
        )


def _newest_version_in(path: Path) -> str | None:
    """Return the newest version of MLflow in the tags of runs, if it is newer than the installed one."""
    import mlflow
    from packaging.version import InvalidVersion, Version

    newest = Version(mlflow.__version__)
    with opened(path) as database:
        for (text,) in database.execute("SELECT DISTINCT value FROM tags WHERE key = 'mlflow'"):
            with contextlib.suppress(InvalidVersion, TypeError):
                newest = max(newest, Version(text))
    return None if newest == Version(mlflow.__version__) else str(newest)


def _version(path: Path) -> object:
    """Return the revision of MLflow's tables; None if it is not stored."""
    return _query(path, "SELECT version_num FROM alembic_version")


def _query(path: Path, query: str) -> object:
    with opened(path) as database:
        try:
            row = database.execute(query).fetchone()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return None
            raise
        return None if row is None else row[0]
