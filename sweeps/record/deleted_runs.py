"""What runs that were deleted still hold of the SQLite record in a runs folder: rows, and artifacts."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sweeps.core.errors import RecordError
from sweeps.record.sqlite_store import artifacts_now, holds_known_tables, opened
from sweeps.record.store import is_absent, own_file, uri_of_file

_OF_A_RUN = ("latest_metrics", "metrics", "params", "tags")
"""Tables whose rows go with their run; the database itself sees to the others."""
_DELETED = "lifecycle_stage = 'deleted'"
_WORTH_BYTES = 1_000_000
"""Of free pages without a deleted run: the next rows use them."""


@dataclass(frozen=True, kw_only=True)
class DeletedRuns:
    """What can be freed of a runs folder's own record."""

    file: Path
    run_ids: tuple[str, ...]
    model_ids: tuple[str, ...]
    """Of logged models, which go with their runs."""
    bytes: int
    """Of its free pages: the file gets smaller by so much, and by what the rows take."""
    artifacts: tuple[Path, ...]
    """Folders of the artifacts of these runs and models, as the record names them: not yet looked at."""


def find_deleted_runs(runs: Path) -> DeletedRuns | None:
    """Return what runs that MLflow holds as deleted take up, None where there is no such file, or nothing to free.

    Raises:
        RecordError: the file cannot be read, or its tables are of another version of MLflow.
    """
    file = own_file(runs)
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
    if not holds_known_tables(file):
        raise RecordError(
            f"{file} is of another version of MLflow: `mlflow gc --backend-store-uri {uri_of_file(file)}` frees its "
            "deleted runs"
        )
    paths = [artifacts_now(file, uri=uri, location=location) for _, uri, location in [*found, *models]]
    return DeletedRuns(
        file=file,
        run_ids=tuple(run_id for run_id, *_ in found),
        model_ids=tuple(model_id for model_id, *_ in models),
        bytes=pages * size,
        artifacts=tuple(path for path in paths if path is not None),
    )


def _deleted_models(database: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Return id and location of each deleted model, and the location of all artifacts of its experiment."""
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'logged_models'").fetchone() is None:
        return []  # of a version of MLflow that knows no models, whose tables are refused
    return database.execute(
        "SELECT model_id, logged_models.artifact_location, experiments.artifact_location FROM logged_models "
        f"JOIN experiments USING (experiment_id) WHERE logged_models.{_DELETED}"
    ).fetchall()


def forget_deleted_runs(file: Path) -> int:
    """Delete the rows of deleted runs, make the file as small as it can be, and return how many bytes that freed.

    Raises:
        RecordError: the file cannot be written, or whoever writes it does not end.
    """
    before = file.stat().st_size
    with opened(file) as database:
        database.execute("COMMIT")
        _delete_rows(database)
        # What a killed process has left between these two goes at the next call.
        try:
            database.execute("VACUUM")
        except sqlite3.OperationalError as error:
            raise RecordError(
                f"{file} cannot be made smaller just now ({error}): its deleted rows are gone, and the next rows take "
                "their place; with as much free disk as it has bytes, `sweeps gc` makes it smaller"
            ) from error
    return before - file.stat().st_size


def _delete_rows(database: sqlite3.Connection) -> None:
    # Of a row that still names a run, in a table not known here, the database itself says no.
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("BEGIN IMMEDIATE")
    for table in _OF_A_RUN:
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
