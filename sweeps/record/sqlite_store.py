"""MLflow's SQLite file read directly: importing MLflow takes seconds, and its client pages through tables for more.

Only of the version of its tables that is known here; `open_store` takes MLflow's client for any other.
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
from sweeps.record.recorded_run import ALL, EpochPoints, RecordedRun, Wanted
from sweeps.record.store import experiment_name, redact
from sweeps.system.compat import KNOWN_TABLES

_TABLES = frozenset({"experiments", "runs", "tags", "params", "metrics", "latest_metrics"})
"""Without which nothing can be read."""

_WAIT_SECONDS = 20.0
"""For a driver that writes just now: MLflow's transactions are short."""

_MODEL_READY = 2
"""The status of a logged model that is whole."""

_NUMBERS = "typeof(value) IN ('real', 'integer') AND typeof(step) = 'integer' AND typeof(timestamp) = 'integer'"
"""Of a row that is none an epoch lacks a value, as of one that a crash left half written."""

_MANY_RUNS = 1000
"""From here on most of a record is read."""


class NoStore:
    """The record before anything was recorded."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def runs(
        self, tags: Mapping[str, str], *, wanted: Wanted = ALL, or_without: str | None = None
    ) -> list[RecordedRun]:
        return []

    def epochs(self, run_ids: Sequence[str]) -> Iterator[EpochPoints]:
        return iter(())

    def run(self, run_id: str) -> RecordedRun:
        raise RecordError(f"there is no record at {redact(self._uri)}: `sweeps run` creates it")

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
    """A `RunStore` over MLflow's own SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def runs(
        self, tags: Mapping[str, str], *, wanted: Wanted = ALL, or_without: str | None = None
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
            return _runs(database, having, arguments, wanted=wanted)

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
            # No link: a record of somebody else's may point anywhere.
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
            raise RecordError(f"there is no run {run_id} in {self._path} any more")
        uri, location = found
        return _folder(_moved(uri, location, to=artifacts_beside(self._path)))

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
    """Give a connection that sees the file as of one moment.

    Raises:
        RecordError: the file cannot be read as a database, or whoever writes it does not end.
    """
    # Not read-only: what a killed writer left half done is rolled back by whoever opens the file next.
    uri = f"{path.resolve().as_uri()}?mode=rw"
    try:
        with contextlib.closing(
            sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        ) as database:
            # A tag that is no text any more is one that cannot be understood, not the end of a command.
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
        return RecordError(f"{path} is being written by another process for {_WAIT_SECONDS:g} s and more: try again")
    return RecordError(f"{path} cannot be read ({error}): check that it may be read and written, and the disk's room")


def damaged(path: Path, *, reason: str) -> DamagedRecordError:
    """Return the error for a file that holds no record any more, with what to do."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        advice = "if it is no MLflow database, set MLFLOW_TRACKING_URI to another; else move it away"
    else:
        advice = "`sweeps doctor --fix`, and the next `sweeps run`, move it aside"
    return DamagedRecordError(f"{path} is damaged ({reason}): {advice}, and the journals give the record anew")


def require_whole(path: Path, *, thorough: bool = False) -> None:
    """Refuse what is at a record's path and is no whole database.

    Args:
        path: something is there.
        thorough: read every page of it.

    Raises:
        DamagedRecordError: it is none.
        RecordError: it cannot be read now.
    """
    if not path.is_file():
        raise damaged(path, reason="it is no file")
    if not path.stat().st_size:
        raise damaged(path, reason="it is empty, 0 bytes")
    with opened(path) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        # MLflow's own tables may be half made just now; where runs could be, all that belongs to them is.
        if missing := _TABLES - tables if "alembic_version" in tables and _version_in(database) else None:
            raise damaged(path, reason=f"it has no table {', '.join(sorted(missing))}")
        if thorough and (found := database.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise damaged(path, reason=found)


def is_damaged(path: Path) -> bool:
    """Return whether what is at a record's path is surely no whole database."""
    try:
        require_whole(path, thorough=True)
    except DamagedRecordError:
        return True
    except RecordError:  # it is being written, or may not be read: nothing is known
        return False
    return False


def _version_in(database: sqlite3.Connection) -> object:
    return database.execute("SELECT version_num FROM alembic_version").fetchone()


def is_begun(path: Path) -> bool:
    """Return whether the experiment in use is there: while a driver makes the tables, nothing is.

    Raises:
        RecordError: the file is no database.
    """
    with opened(path) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return False
        found = database.execute("SELECT 1 FROM experiments WHERE name = ?", [experiment_name()])
        return found.fetchone() is not None


def holds_known_tables(path: Path) -> bool:
    """Return whether MLflow's tables are all there, as this module knows them."""
    with opened(path) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return False
        row = database.execute("SELECT version_num FROM alembic_version").fetchone()
        return row is not None and row[0] in KNOWN_TABLES


def artifacts_beside(path: Path) -> Path:
    """Return the folder of the artifacts of a record that lies in a runs folder."""
    return path.resolve().parent / "artifacts"


def artifacts_now(path: Path, *, uri: str, location: str) -> Path | None:
    """Return the folder that a run's artifacts are in now, None where that is none of this machine.

    Args:
        path: of the record.
        uri: where the record says that they are.
        location: where it says that those of the run's experiment are.
    """
    try:
        return _folder(_moved(uri, location, to=artifacts_beside(path)))
    except RecordError:
        return None


def follow_a_move(path: Path) -> None:
    """Let a record that was moved or copied with its runs folder name the folder that it lies in now.

    Each run says where its artifacts are, by a whole path: a copy would write into the folder it was copied from.
    A record whose artifacts were never beside it stays as it is, and one whose tables have no such columns.

    Raises:
        RecordError: the file cannot be read or written.
    """
    now = artifacts_beside(path)
    if not is_begun(path):
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
    """Return where artifacts are now that were in a folder `artifacts` beside the record.

    Args:
        uri: where they were.
        location: where all artifacts of the experiment were at that time.
        to: where all artifacts are now.
    """
    beside = location.startswith("file:") and location.rstrip("/").endswith("/artifacts")
    inside = uri == location or uri.startswith(location.rstrip("/") + "/")
    # A record at its own path, with the artifacts in a runs folder elsewhere, has not moved: they are where they were.
    moved = beside and inside and (to.is_dir() or not _folder(location).is_dir())
    return to.as_uri() + uri.removeprefix(location.rstrip("/")).rstrip("/") if moved else uri


def _folder(uri: str) -> Path:
    """Return the folder that an address names.

    Raises:
        RecordError: it is none of this machine.
    """
    address = urlparse(uri)
    if address.scheme not in ("", "file"):
        raise RecordError(f"the artifacts at {redact(uri)} are in no folder of this machine")
    return Path(unquote(address.path))


def _runs(
    database: sqlite3.Connection, having: str, arguments: Sequence[str], *, wanted: Wanted = ALL
) -> list[RecordedRun]:
    query = f"""
        SELECT run_uuid, name, status, start_time, end_time FROM runs
        WHERE lifecycle_stage = 'active'
        AND experiment_id IN (SELECT experiment_id FROM experiments WHERE name = ?){having}
        ORDER BY start_time, run_uuid
    """
    rows = database.execute(query, [experiment_name(), *arguments]).fetchall()
    ids = [row[0] for row in rows]
    tags = _values(database, "tags", ids, keys=wanted.tags)
    params = _values(database, "params", ids) if wanted.params else defaultdict(dict)
    metrics = _values(database, "latest_metrics", ids, keys=wanted.metrics, having=" AND NOT is_nan")
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
    """Return what a table holds of these runs: run to key to value."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    # Of many runs a walk through the whole table is faster than as many ways through its index.
    whole = " NOT INDEXED" if len(run_ids) > _MANY_RUNS else ""
    of_keys = "" if keys is None else f" AND key IN ({', '.join('?' * len(keys))})"
    query = f"""
        SELECT run_uuid, key, value FROM {table}{whole}
        WHERE run_uuid IN (SELECT value FROM json_each(?)){of_keys}{having}
    """
    for run_id, key, value in database.execute(query, [json.dumps(list(run_ids)), *(keys or ())]):
        found[run_id][key] = value
    return found
