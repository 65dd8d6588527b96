"""Reads MLflow's SQLite file directly, since importing MLflow takes seconds and its client is slow for many runs.

Only table versions in `READABLE_REVISIONS` are supported; for others `open_store` uses MLflow's client.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from sweeps.core.errors import DamagedRecordError, RecordError
from sweeps.record.mapping import EPOCH_METRICS, MetricPoint
from sweeps.record.recorded_run import ALL_FIELDS, EpochPoints, RecordedRun, RunFields
from sweeps.record.store import experiment_name, redact
from sweeps.system.compat import READABLE_REVISIONS

_TABLES = frozenset({"experiments", "runs", "tags", "params", "metrics", "latest_metrics"})
"""Tables that are needed for reading."""

_WAIT_SECONDS = 20.0
"""Maximum wait for a driver that writes; MLflow's transactions are short."""

_MODEL_READY = 2
"""MLflow's status of a complete logged model."""

_NUMBERS = "typeof(value) IN ('real', 'integer') AND typeof(step) = 'integer' AND typeof(timestamp) = 'integer'"
"""Selects valid rows. An epoch lacks the value of an invalid row, as after a crash."""

_MANY_RUNS = 1000
"""Number of runs from which a query reads most of a table."""


class EmptyStore:
    """A record without runs."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def runs(
        self, tags: Mapping[str, str], *, fields: RunFields = ALL_FIELDS, or_without: str | None = None
    ) -> list[RecordedRun]:
        return []

    def epochs(self, run_ids: Sequence[str]) -> Iterator[EpochPoints]:
        return iter(())

    def run(self, run_id: str) -> RecordedRun:
        raise RecordError(f"there is no record at {redact(self._uri)}. `sweeps run` creates it.")

    def history(self, run_id: str, *, names: Sequence[str] | None = None) -> Sequence[MetricPoint]:
        return []

    def artifact(self, run_id: str, name: str) -> bytes | None:
        return None

    def files(self, run_id: str) -> Iterator[tuple[str, bytes]]:
        return iter(())

    def has_model(self, model_id: str) -> bool:
        return False

    def delete(self, run_ids: Sequence[str]) -> None:
        return None


class SqliteStore:
    """A `RunStore` over MLflow's SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def runs(
        self, tags: Mapping[str, str], *, fields: RunFields = ALL_FIELDS, or_without: str | None = None
    ) -> list[RecordedRun]:
        each = ["run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND value = ?)" for _ in tags]
        having = " AND ".join(each) or "TRUE"
        arguments = [text for tag in tags.items() for text in tag]
        if or_without is not None:
            having += """ OR run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'config_id')
                AND run_uuid NOT IN (SELECT run_uuid FROM tags WHERE key = ?)"""
            arguments.append(or_without)
        having = f" AND ({having})"
        with opened(self._path) as database:
            return _runs(database, having, arguments, fields=fields)

    def epochs(self, run_ids: Sequence[str]) -> Iterator[EpochPoints]:
        values = ", ".join("max(CASE key WHEN ? THEN value END)" for _ in EPOCH_METRICS)
        keys = ", ".join("?" * len(EPOCH_METRICS))
        query = f"""
            SELECT run_uuid, step, max(timestamp), count(*) = count(DISTINCT key), {values} FROM metrics
            WHERE step > 0 AND NOT is_nan AND {_NUMBERS} AND key IN ({keys})
            AND run_uuid IN (SELECT value FROM json_each(?))
            GROUP BY run_uuid, step ORDER BY run_uuid, step
        """
        with opened(self._path) as database:
            rows = database.execute(query, [*EPOCH_METRICS, *EPOCH_METRICS, json.dumps(list(run_ids))]).fetchall()
        for run_id, epoch, timestamp, is_once, *found in rows:
            yield EpochPoints(
                run_id=run_id, epoch=epoch, values=tuple(found), timestamp_ms=timestamp, is_once=bool(is_once)
            )

    def run(self, run_id: str) -> RecordedRun:
        with opened(self._path) as database:
            found = _runs(database, " AND run_uuid = ?", [run_id])
        if not found:
            raise RecordError(f"there is no run {run_id} in {self._path}")
        return found[0]

    def history(self, run_id: str, *, names: Sequence[str] | None = None) -> Sequence[MetricPoint]:
        query = f"""
            SELECT key, value, step, timestamp FROM metrics
            WHERE run_uuid = ? AND NOT is_nan AND {_NUMBERS} ORDER BY timestamp
        """
        with opened(self._path) as database:
            return [
                MetricPoint(name=name, value=value, step=step, timestamp_ms=timestamp)
                for name, value, step, timestamp in database.execute(query, [run_id])
            ]

    def artifact(self, run_id: str, name: str) -> bytes | None:
        path = self._folder_of(run_id) / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RecordError(f"{path} cannot be read ({error.strerror})") from error

    def files(self, run_id: str) -> Iterator[tuple[str, bytes]]:
        folder = self._folder_of(run_id)
        for path in sorted(folder.rglob("*")):
            # Links are skipped: in a record from another user they may point anywhere.
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix(), path.read_bytes()

    def _folder_of(self, run_id: str) -> Path:
        query = """
            SELECT artifact_uri, artifact_location FROM runs JOIN experiments USING (experiment_id)
            WHERE run_uuid = ?
        """
        with opened(self._path) as database:
            found = database.execute(query, [run_id]).fetchone()
        if found is None:
            raise RecordError(f"run {run_id} was deleted from {self._path}")
        uri, location = found
        return _folder(_moved(uri, location, to=artifacts_folder(self._path)))

    def has_model(self, model_id: str) -> bool:
        query = "SELECT 1 FROM logged_models WHERE model_id = ? AND lifecycle_stage = 'active' AND status = ?"
        with opened(self._path) as database:
            return database.execute(query, [model_id, _MODEL_READY]).fetchone() is not None

    def delete(self, run_ids: Sequence[str]) -> None:
        now = round(time.time() * 1000)
        with opened(self._path) as database:
            database.execute("COMMIT")
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = ? WHERE run_uuid = ?",
                [(now, run_id) for run_id in run_ids],
            )
            database.executemany(
                "UPDATE logged_models SET lifecycle_stage = 'deleted', last_updated_timestamp_ms = ? "
                "WHERE source_run_id = ?",
                [(now, run_id) for run_id in run_ids],
            )
            database.execute("COMMIT")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection with a transaction, which reads one snapshot of the file.

    Raises:
        RecordError: The file is not a readable database, or another process writes it for too long.
    """
    # Not read-only: the next connection rolls back an incomplete transaction of a killed writer.
    uri = f"{path.resolve().as_uri()}?mode=rw"
    try:
        with contextlib.closing(
            sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        ) as database:
            # A tag with invalid text makes its run invalid, but not the whole command fail.
            database.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
            database.execute("BEGIN")
            yield database
    except sqlite3.DatabaseError as error:
        raise _read_error(path, error) from error


def _read_error(path: Path, error: sqlite3.DatabaseError) -> RecordError:
    code = getattr(error, "sqlite_errorcode", None)
    is_broken = code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    if is_broken or "no such table" in str(error) or "no such column" in str(error):
        return damaged(path, reason=str(error))
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RecordError(
            f"{path} is being written by another process for more than {_WAIT_SECONDS:g} s. Wait for it, then run the "
            "same command again."
        )
    return RecordError(f"{path} cannot be read ({error}). Check its permissions and the free disk space.")


def damaged(path: Path, *, reason: str) -> DamagedRecordError:
    """Return the error for a damaged record."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        advice = (
            "If it is not an MLflow database, set MLFLOW_TRACKING_URI to another address. Else rename the file: the "
            "next `sweeps run` rebuilds the record from the journals."
        )
    else:
        advice = "Run `sweeps doctor --fix` to rename it and rebuild the record from the journals."
    return DamagedRecordError(f"{path} is damaged ({reason}). {advice}")


def check_intact(path: Path, *, thorough: bool = False) -> None:
    """Check that a record is an intact database.

    Args:
        path: An existing path.
        thorough: Whether to check all pages.

    Raises:
        DamagedRecordError: It is not an intact database.
        RecordError: It cannot be read now.
    """
    if not path.is_file():
        raise damaged(path, reason="it is not a file")
    if not path.stat().st_size:
        raise damaged(path, reason="it is empty, 0 bytes")
    with opened(path) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        # While MLflow creates the tables some are missing. It stores the revision last.
        if missing := _TABLES - tables if "alembic_version" in tables and _version_in(database) else None:
            raise damaged(path, reason=f"it has no table {', '.join(sorted(missing))}")
        if thorough and (found := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise damaged(path, reason=found)


def is_damaged(path: Path) -> bool:
    """Return whether a record is certainly damaged."""
    try:
        check_intact(path, thorough=True)
    except DamagedRecordError:
        return True
    except RecordError:  # it is being written or cannot be read: unknown
        return False
    return False


def _version_in(database: sqlite3.Connection) -> object:
    return database.execute("SELECT version_num FROM alembic_version").fetchone()


def has_experiment(path: Path) -> bool:
    """Return whether the experiment in use exists; False while a driver creates the tables.

    Raises:
        RecordError: The file is not a database.
    """
    with opened(path) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return False
        found = database.execute("SELECT 1 FROM experiments WHERE name = ?", [experiment_name()])
        return found.fetchone() is not None


def has_known_tables(path: Path) -> bool:
    """Return whether MLflow's tables have a version that this module supports."""
    with opened(path) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return False
        row = database.execute("SELECT version_num FROM alembic_version").fetchone()
        return row is not None and row[0] in READABLE_REVISIONS


def artifacts_folder(path: Path) -> Path:
    """Return the artifacts folder of a record in a runs folder."""
    return path.resolve().parent / "artifacts"


def current_artifacts_folder(path: Path, *, uri: str, location: str) -> Path | None:
    """Return the current folder of a run's artifacts; None if it is not on this machine.

    Args:
        path: Path of the record.
        uri: Recorded artifact URI of the run.
        location: Recorded artifact location of its experiment.
    """
    try:
        return _folder(_moved(uri, location, to=artifacts_folder(path)))
    except RecordError:
        return None


def relocate_artifacts(path: Path) -> None:
    """Update the artifact paths of a record that was moved or copied with its runs folder.

    MLflow stores absolute paths: a copy would write into the original folder. Nothing is changed if the artifacts were
    not next to the record, or if the tables lack these columns.

    Raises:
        RecordError: The file cannot be read or written.
    """
    now = artifacts_folder(path)
    if not has_experiment(path):
        return
    with opened(path) as database:
        query = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?"
        try:
            found = database.execute(query, [experiment_name()]).fetchone()
        except sqlite3.OperationalError:
            return
        if found is None:
            return
        experiment, location = found
        if _moved(location, location, to=now) == location:
            return
        runs = database.execute("SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = ?", [experiment])
        changes = [(_moved(uri, location, to=now), run_id) for run_id, uri in runs]
        database.execute("COMMIT")
        database.execute("BEGIN IMMEDIATE")
        database.executemany("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", changes)
        models = database.execute(
            "SELECT model_id, artifact_location FROM logged_models WHERE experiment_id = ?", [experiment]
        ).fetchall()
        database.executemany(
            "UPDATE logged_models SET artifact_location = ? WHERE model_id = ?",
            [(_moved(uri, location, to=now), model_id) for model_id, uri in models],
        )
        database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", [now.as_uri(), experiment]
        )
        database.execute("COMMIT")


def _moved(uri: str, location: str, *, to: Path) -> str:
    """Return the current URI of artifacts if they were in a folder `artifacts` next to the record; else `uri`.

    Args:
        uri: Recorded URI.
        location: Recorded artifact location of the experiment.
        to: Current artifacts folder.
    """
    next_to_record = location.startswith("file:") and location.rstrip("/").endswith("/artifacts")
    inside = uri == location or uri.startswith(location.rstrip("/") + "/")
    # A record outside the runs folder that contains its artifacts has not moved: the recorded folder still exists.
    moved = next_to_record and inside and (to.is_dir() or not _folder(location).is_dir())
    return to.as_uri() + uri.removeprefix(location.rstrip("/")).rstrip("/") if moved else uri


def _folder(uri: str) -> Path:
    """Return the folder of a URI.

    Raises:
        RecordError: It is not a local folder.
    """
    address = urlparse(uri)
    if address.scheme not in ("", "file"):
        raise RecordError(f"the artifacts at {redact(uri)} are not in a folder of this machine")
    return Path(unquote(address.path))


def _runs(
    database: sqlite3.Connection, having: str, arguments: Sequence[str], *, fields: RunFields = ALL_FIELDS
) -> list[RecordedRun]:
    query = f"""
        SELECT run_uuid, name, status, start_time, end_time FROM runs
        WHERE lifecycle_stage = 'active'
        AND experiment_id IN (SELECT experiment_id FROM experiments WHERE name = ?){having}
        ORDER BY start_time, run_uuid
    """
    rows = database.execute(query, [experiment_name(), *arguments]).fetchall()
    ids = [row[0] for row in rows]
    tags = _values(database, "tags", ids, keys=fields.tags)
    params = _values(database, "params", ids) if fields.params else defaultdict(dict)
    metrics = _values(database, "latest_metrics", ids, keys=fields.metrics, having=" AND NOT is_nan")
    return [
        RecordedRun(
            run_id=run_id,
            name=name,
            status=status,
            start_ms=start,
            end_ms=end,
            tags=tags[run_id],
            params=params[run_id],
            metrics=metrics[run_id],
        )
        for run_id, name, status, start, end in rows
    ]


def _values(
    database: sqlite3.Connection,
    table: str,
    run_ids: Sequence[str],
    *,
    keys: Collection[str] | None = None,
    having: str = "",
) -> dict[str, dict[str, Any]]:
    """Return the rows of a table for these runs: run → key → value."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    # For many runs a full scan is faster than lookups in the index.
    scan = " NOT INDEXED" if len(run_ids) > _MANY_RUNS else ""
    of_keys = "" if keys is None else f" AND key IN ({', '.join('?' * len(keys))})"
    query = f"""
        SELECT run_uuid, key, value FROM {table}{scan}
        WHERE run_uuid IN (SELECT value FROM json_each(?)){of_keys}{having}
    """
    for run_id, key, value in database.execute(query, [json.dumps(list(run_ids)), *(keys or ())]):
        found[run_id][key] = value
    return found
