"""Opens the record for writing: tables, artifact paths and experiment; one process at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.record.client import connect
from sweeps.record.parent_run import open_experiment
from sweeps.record.schema import ensure_tables, move_damaged_aside
from sweeps.record.sqlite_store import is_damaged, relocate_artifacts
from sweeps.record.store import is_absent, record_error, sqlite_file, store_uri, uses_default_record

if TYPE_CHECKING:
    from mlflow import MlflowClient


def open_to_write(uri: str, runs: Path) -> tuple[MlflowClient, str]:
    """Return a client of the store and the id of the experiment in use; create both if they do not exist.

    Call it within `store_errors`.

    Args:
        uri: URI of the store.
        runs: The runs folder, where artifacts are stored unless a server stores them.

    Raises:
        RecordError: The experiment was deleted.
    """
    path = sqlite_file(uri)
    with _exclusive(uri):
        if path is not None and uses_default_record(runs) and not is_absent(uri):
            move_damaged_aside(path)
        ensure_tables(uri)
        if path is not None:
            relocate_artifacts(path)
        client = connect(uri)
        return client, open_experiment(client, uri, runs)


def move_damaged_record_aside(runs: Path) -> Path | None:
    """Rename the default record if it is damaged, and return its new path; None if it is intact.

    A file that the environment names may belong to another program and is not renamed.

    Raises:
        RecordError: The file cannot be read or renamed.
    """
    uri = store_uri(runs)
    path = sqlite_file(uri)
    # Checked first without the lock, which needs MLflow, whose import takes seconds.
    if path is None or not uses_default_record(runs) or is_absent(uri) or not is_damaged(path):
        return None
    try:
        with _exclusive(uri):
            return move_damaged_aside(path)
    except OSError as error:
        raise record_error(uri, reason=str(error)) from error


@contextlib.contextmanager
def _exclusive(uri: str) -> Iterator[None]:
    """Lock out other processes: if two create the schema at once, both fail."""
    path = sqlite_file(uri)
    if path is None or os.name == "nt":
        yield
        return
    from mlflow.utils.file_utils import ExclusiveFileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with ExclusiveFileLock(str(path.with_name(f"{path.name}.lock"))):
        yield
