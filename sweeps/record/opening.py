"""Opening the record to write it: tables, the folder it lies in now, the experiment; by one process at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.record.client import connect
from sweeps.record.parent_run import open_experiment
from sweeps.record.schema import ensure_tables, set_damaged_aside
from sweeps.record.sqlite_store import follow_a_move, is_damaged
from sweeps.record.store import is_absent, is_own, record_error, sqlite_file, store_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient


def open_to_write(uri: str, runs: Path) -> tuple[MlflowClient, str]:
    """Return a client of the store and the id of the experiment in use; both are made where they are not there.

    Args:
        uri: of the store.
        runs: the runs folder, where artifacts go unless a server keeps them.

    Raises:
        RecordError: the experiment was deleted. What MLflow and the file system raise is for `store_errors`.
    """
    path = sqlite_file(uri)
    with _alone(uri):
        if path is not None and is_own(runs) and not is_absent(uri):
            set_damaged_aside(path)
        ensure_tables(uri)
        if path is not None:
            follow_a_move(path)
        client = connect(uri)
        return client, open_experiment(client, uri, runs)


def set_damaged_record_aside(runs: Path) -> Path | None:
    """Move the runs folder's own record aside where it is damaged, and return where it is now; None where it is not.

    A file that the environment names may be another program's, and is left alone.

    Raises:
        RecordError: it cannot be looked at, or not moved.
    """
    uri = store_uri(runs)
    path = sqlite_file(uri)
    # Looked at first without the lock, which takes MLflow, whose import takes seconds.
    if path is None or not is_own(runs) or is_absent(uri) or not is_damaged(path):
        return None
    try:
        with _alone(uri):
            return set_damaged_aside(path)
    except OSError as error:
        raise record_error(uri, reason=str(error)) from error


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Hold other processes off: two that create the schema at once both fail."""
    path = sqlite_file(uri)
    if path is None or os.name == "nt":
        yield
        return
    from mlflow.utils.file_utils import ExclusiveFileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with ExclusiveFileLock(str(path.with_name(f"{path.name}.lock"))):
        yield
