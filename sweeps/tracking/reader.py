"""Reading the record: every trial of every sweep as one table, and what else there is of one run."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cifar_core.config import TrainingConfig
from cifar_core.results import EpochResult
from sweeps.errors import RecordError
from sweeps.tracking.client import connect, search_runs, store_errors
from sweeps.tracking.frame import frame_of, row_of
from sweeps.tracking.mapping import CORRECT_FILE, EPOCH_METRICS, NOT_FINITE, read_not_finite, recorded_config
from sweeps.tracking.store import experiment_name, is_absent, quoted, redact, sqlite_file, store_uri

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run


class RecordReader(Protocol):
    """What reads the record. Each method raises `RecordError` where the store cannot be read."""

    def runs(self, *, sweep: str | None = None) -> pd.DataFrame:
        """Return one row a trial: `COLUMNS`, the configuration under dotted names, `LAST_COLUMNS`."""
        ...

    def configuration(self, run_id: str) -> TrainingConfig:
        """Return what a run was recorded to train."""
        ...

    def curve(self, run_id: str) -> list[EpochResult]:
        """Return the epochs of a run, in order."""
        ...

    def correctness(self, run_id: str) -> np.ndarray | None:
        """Return one truth value a test image, in the file's order; None where the run was not tested."""
        ...


class MlflowReader:
    """Reads the store that `Tracker` writes. One that does not exist reads as empty and is not created."""

    def __init__(self, runs: Path) -> None:
        """Open nothing yet: MLflow takes seconds to import, and the store may not be there."""
        self._uri = store_uri(runs)
        self._client: MlflowClient | None = None

    def runs(self, *, sweep: str | None = None) -> pd.DataFrame:
        where = "" if sweep is None else f" and tags.sweep = {quoted(sweep)}"
        return frame_of(row_of(run) for run in self._search(f"tags.kind = 'trial'{where}"))

    def configuration(self, run_id: str) -> TrainingConfig:
        with self._reading() as client:
            data = client.get_run(run_id).data
        config = recorded_config(data.tags, data.params)
        if config is None:
            raise RecordError(
                f"the configuration of run {run_id} cannot be read: it was recorded by another version of this project"
            )
        return config

    def curve(self, run_id: str) -> list[EpochResult]:
        with self._reading() as client:
            points = {name: client.get_metric_history(run_id, name) for name in EPOCH_METRICS}
            tag = client.get_run(run_id).data.tags.get(NOT_FINITE)
        fields: dict[int, dict[str, Any]] = {}
        for name, history in points.items():
            for point in sorted(history, key=lambda point: point.timestamp):
                # A later attempt at an epoch stands for it.
                fields.setdefault(point.step, {"finished_at": 0.0})
                fields[point.step][EPOCH_METRICS[name]] = point.value
                newest = max(fields[point.step]["finished_at"], point.timestamp / 1000)
                fields[point.step]["finished_at"] = newest
        for (name, step), value in read_not_finite(tag).items():
            if step in fields and name in EPOCH_METRICS:
                fields[step].setdefault(EPOCH_METRICS[name], value)
        return _one_attempt(fields)

    def correctness(self, run_id: str) -> np.ndarray | None:
        import numpy as np

        with self._reading() as client, tempfile.TemporaryDirectory() as folder:
            if not any(file.path == CORRECT_FILE for file in client.list_artifacts(run_id)):
                return None
            path = client.download_artifacts(run_id, CORRECT_FILE, folder)
            correct: np.ndarray = np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False)
            return correct

    def complete_runs(self) -> dict[str, Run]:
        """Return the complete run of each key: the first that was trained, not one that took its result over."""
        found: dict[str, Run] = {}
        runs = self._search("tags.kind = 'trial' and tags.outcome = 'complete'")
        for run in sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id)):
            if "reused_from" not in run.data.tags:
                found.setdefault(run.data.tags["key"], run)
        return found

    def _search(self, filter_string: str) -> list[Run]:
        if not _is_ready(self._uri):
            return []
        with self._reading() as client:
            experiment = client.get_experiment_by_name(experiment_name())
            if experiment is None:
                return []
            return list(search_runs(client, experiment.experiment_id, filter_string))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[MlflowClient]:
        if is_absent(self._uri):
            raise RecordError(f"there is no record at {redact(self._uri)}: `sweeps run` creates it")
        with store_errors(self._uri):
            if self._client is None:
                self._client = connect(self._uri)
            yield self._client


def _one_attempt(fields: dict[int, dict[str, Any]]) -> list[EpochResult]:
    """Return the epochs from 1 without a gap; an epoch older than the one before is of a former attempt."""
    curve: list[EpochResult] = []
    while (values := fields.get(len(curve) + 1)) is not None:
        if curve and values["finished_at"] < curve[-1].finished_at:
            break
        whole = {"epoch": len(curve) + 1, "val_loss": None, "val_accuracy": None, **values}
        if len(whole) < len(dataclasses.fields(EpochResult)):
            break  # a driver died between two batches of this epoch
        curve.append(EpochResult.from_dict(whole))
    return curve


def _is_ready(uri: str) -> bool:
    """Return whether opening the store would create nothing, not even while a driver is creating it."""
    path = sqlite_file(uri)
    if path is None:
        return True
    if is_absent(uri):
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True)) as database:
            query = "SELECT 1 FROM experiments WHERE name = ?"
            return database.execute(query, (experiment_name(),)).fetchone() is not None
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return False
        raise RecordError(
            f"{path} cannot be read ({error}): if it is no MLflow database, move it away or set MLFLOW_TRACKING_URI"
        ) from error
