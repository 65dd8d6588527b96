"""Rows and artifacts of deleted runs in the default record, and their removal."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sweeps.core.errors import RecordError
from sweeps.record.sqlite_store import current_artifacts_folder, has_known_tables, opened
from sweeps.record.store import default_file, is_absent, uri_of_file

_RUN_TABLES = ("latest_metrics", "metrics", "params", "tags")
"""Tables whose rows are deleted with their run; the database cascades to the others."""
_DELETED = "lifecycle_stage = 'deleted'"
_WORTH_BYTES = 1_000_000
"""Minimum of free pages to report if no run is deleted, since new rows reuse them."""


@dataclass(frozen=True, kw_only=True)
class DeletedRuns:
    """Deleted runs of the default record."""

    file: Path
    run_ids: tuple[str, ...]
    model_ids: tuple[str, ...]
    """Ids of their logged models."""
    bytes: int
    """Size of the free pages. The file shrinks by this and by the size of the rows."""
    artifacts: tuple[Path, ...]
    """Artifact folders of these runs and models as stored in the record; they may not exist."""


def find_deleted_runs(runs: Path) -> DeletedRuns | None:
    """Return the runs that are marked as deleted in the default record; None if there is nothing to free.

    Raises:
        RecordError: The file cannot be read, or its tables are of another version of MLflow.
    """
    file = default_file(runs)
    if is_absent(uri_of_file(file)):
        return None
    with opened(file) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone():
            return None
        found = database.execute(
            f"SELECT run_uuid, artifact_uri, artifact_location FROM runs JOIN experiments USING (experiment_id) "
            f"WHERE runs.{_DELETED}"
        ).fetchall()
        models = _deleted_models(database)
        pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_size"))
    if not found and not models and pages * size < _WORTH_BYTES:
        return None
    if not has_known_tables(file):
        raise RecordError(
            f"{file} is of another version of MLflow. To free its deleted runs, run "
            f"`mlflow gc --backend-store-uri {uri_of_file(file)}`."
        )
    paths = [current_artifacts_folder(file, uri=uri, location=location) for _, uri, location in [*found, *models]]
    return DeletedRuns(
        file=file,
        run_ids=tuple(run_id for run_id, *_ in found),
        model_ids=tuple(model_id for model_id, *_ in models),
        bytes=pages * size,
        artifacts=tuple(path for path in paths if path is not None),
    )


def _deleted_models(database: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Return id, artifact location and artifact location of the experiment for each deleted model."""
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'logged_models'").fetchone() is None:
        return []  # tables of an MLflow without models, which the caller refuses
    return database.execute(
        "SELECT model_id, logged_models.artifact_location, experiments.artifact_location FROM logged_models "
        f"JOIN experiments USING (experiment_id) WHERE logged_models.{_DELETED}"
    ).fetchall()


def purge_deleted_runs(file: Path) -> int:
    """Delete the rows of deleted runs and compact the file. Return the number of bytes freed.

    Raises:
        RecordError: The file cannot be written, or another process writes it for too long.
    """
    before = file.stat().st_size
    with opened(file) as database:
        database.execute("COMMIT")
        _delete_rows(database)
        # If the process is killed here, the next call compacts the file.
        try:
            database.execute("VACUUM")
        except sqlite3.OperationalError as error:
            raise RecordError(
                f"{file} could not be compacted ({error}). Its deleted rows are removed, and new rows reuse their "
                "space. To compact it, free as much disk space as the file has, then run `sweeps gc` again."
            ) from error
    return before - file.stat().st_size


def _delete_rows(database: sqlite3.Connection) -> None:
    # The database refuses to delete a run to which a row in an unknown table refers.
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("BEGIN IMMEDIATE")
    for table in _RUN_TABLES:
        database.execute(f"DELETE FROM {table} WHERE run_uuid IN (SELECT run_uuid FROM runs WHERE {_DELETED})")
    for end in ("source_id", "destination_id"):  # a data set of a run, and a run's model
        database.execute(f"DELETE FROM inputs WHERE {end} IN (SELECT run_uuid FROM runs WHERE {_DELETED})")
    database.execute(
        f"DELETE FROM inputs WHERE destination_id IN (SELECT model_id FROM logged_models WHERE {_DELETED})"
    )
    database.execute("DELETE FROM input_tags WHERE input_uuid NOT IN (SELECT input_uuid FROM inputs)")
    database.execute(f"DELETE FROM runs WHERE {_DELETED}")
    database.execute(f"DELETE FROM logged_models WHERE {_DELETED}")
    database.execute("COMMIT")
