"""Opening the record to write it: tables, the folder it lies in now, the experiment; by one process at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.tracking.client import connect
from sweeps.tracking.parent_run import open_experiment
from sweeps.tracking.schema import ensure_tables
from sweeps.tracking.sqlite_store import follow_a_move
from sweeps.tracking.store import sqlite_file

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
    with _alone(uri):
        ensure_tables(uri)
        path = sqlite_file(uri)
        if path is not None:
            follow_a_move(path)
        client = connect(uri)
        return client, open_experiment(client, uri, runs)


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
