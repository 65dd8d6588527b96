"""Reading the record: every trial of every sweep as one table, and the curve of one run."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cifar_core.config import TrainingConfig
from cifar_core.results import EpochResult, TestResult
from sweeps.store import RecordError, experiment_name, is_absent, quoted, shown, sqlite_file, store_uri
from sweeps.tracking import CORRECT_FILE, connect, search_runs, store_errors
from sweeps.tracking_values import EPOCH_METRICS, NOT_FINITE, parse_param, read_not_finite

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

COLUMNS = (
    "rank",
    "sweep",
    "rung",
    "trial",
    "run_id",
    "status",
    "val_accuracy",
    "val_std",
    "replicates",
    "ci_low",
    "ci_high",
    "test_accuracy",
    "epochs",
    "train_seconds",
    "images_per_second",
    "parameters_millions",
    "seed",
    "key",
    "git_sha",
    "started",
    "best_val_accuracy",
    "reduced",
    "reused_from",
)
"""The first columns, in this order; the configuration follows, then `LAST_COLUMNS`.

`rank`, `val_std`, `replicates`, `ci_low` and `ci_high` are empty until the leaderboard fills them.
"""

LAST_COLUMNS = ("protocol", "config_id", "study", "place", "came_from", "error")

WHOLE_NUMBERS = ("rank", "trial", "replicates", "epochs", "seed", "place")
REAL_NUMBERS = (
    "val_accuracy",
    "val_std",
    "ci_low",
    "ci_high",
    "test_accuracy",
    "train_seconds",
    "images_per_second",
    "parameters_millions",
    "best_val_accuracy",
)


@dataclass(frozen=True, kw_only=True)
class CompleteResult:
    """A full-length result that another sweep may take over instead of training again."""

    run_id: str
    epochs: tuple[EpochResult, ...]
    parameters: int | None
    test: TestResult | None


class RecordReader(Protocol):
    """What reads the record. Each method raises `RecordError` where the store cannot be read."""

    def runs(self, *, sweep: str | None = None) -> pd.DataFrame:
        """Return one row a trial: `COLUMNS`, the configuration under dotted names, `LAST_COLUMNS`."""
        ...

    def curve(self, run_id: str) -> list[EpochResult]:
        """Return the epochs of a run, in order."""
        ...

    def correctness(self, run_id: str) -> np.ndarray | None:
        """Return one truth value a test image, in the file's order; None where the run was not tested."""
        ...

    def complete_keys(self) -> dict[str, str]:
        """Return key to run id of each complete run that was trained, not taken over; the oldest of a key."""
        ...

    def complete_result(self, key: str) -> CompleteResult | None:
        """Return the result recorded under a key, None where no complete run has it."""
        ...


class MlflowReader:
    """Reads the store that `Tracker` writes. One that does not exist reads as empty and is not created."""

    def __init__(self, runs: Path) -> None:
        """Open nothing yet: MLflow takes seconds to import, and the store may not be there."""
        self._uri = store_uri(runs)
        self._client: MlflowClient | None = None

    def runs(self, *, sweep: str | None = None) -> pd.DataFrame:
        where = "" if sweep is None else f" and tags.sweep = {quoted(sweep)}"
        return frame_of(_row(run) for run in self._search(f"tags.kind = 'trial'{where}"))

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

    def complete_keys(self) -> dict[str, str]:
        return {key: run.info.run_id for key, run in self._complete("").items()}

    def complete_result(self, key: str) -> CompleteResult | None:
        run = self._complete(f" and tags.key = {quoted(key)}").get(key)
        if run is None:
            return None
        run_id, metrics = run.info.run_id, run.data.metrics
        millions = metrics.get("parameters_millions")
        correct = self.correctness(run_id) if "test_accuracy" in metrics else None
        test = None
        if correct is not None:
            loss = metrics.get("test_loss", read_not_finite(run.data.tags.get(NOT_FINITE)).get(("test_loss", 0)))
            assert loss is not None, "a tested run has a test_loss, finite or in its tag"
            test = TestResult(loss=loss, correct=_packed(correct), count=len(correct))
        return CompleteResult(
            run_id=run_id,
            epochs=tuple(self.curve(run_id)),
            parameters=None if millions is None else round(millions * 1e6),
            test=test,
        )

    def _complete(self, more: str) -> dict[str, Run]:
        found: dict[str, Run] = {}
        runs = self._search(f"tags.kind = 'trial' and tags.outcome = 'complete'{more}")
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
            raise RecordError(f"there is no record at {shown(self._uri)}: `sweeps run` creates it")
        with store_errors(self._uri):
            if self._client is None:
                self._client = connect(self._uri)
            yield self._client


def frame_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as the record's table: all its columns in order, numbers as numbers."""
    import pandas as pd

    rows = list(rows)
    known = {*COLUMNS, *LAST_COLUMNS}
    configuration = sorted({name for row in rows for name in row} - known, key=_place_in_config)
    names = [*COLUMNS, *configuration, *LAST_COLUMNS]
    columns: dict[str, pd.Series] = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if name in WHOLE_NUMBERS:
            columns[name] = pd.Series(values, dtype="Int64")
        elif name in REAL_NUMBERS:
            columns[name] = pd.Series(values, dtype="float64")
        elif _are_numbers(values):
            whole = all(isinstance(value, int) for value in values if value is not None)
            columns[name] = pd.Series(values, dtype="Int64" if whole else "float64")
        else:
            columns[name] = pd.Series(values, dtype="object")
    return pd.DataFrame(columns, columns=names)


def _are_numbers(values: list[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)


def _place_in_config(name: str) -> tuple[int, int, str]:
    """Order a dotted name as the configuration's own fields are, an unknown one after its block."""
    block, _, field = name.partition(".")
    blocks = TrainingConfig.model_fields
    if block not in blocks:
        return len(blocks), 0, name
    fields = list(getattr(blocks[block].annotation, "model_fields", ()))
    return list(blocks).index(block), fields.index(field) if field in fields else len(fields), name


def _row(run: Run) -> dict[str, Any]:
    tags, metrics = run.data.tags, run.data.metrics
    config = {name: parse_param(text) for name, text in run.data.params.items()}
    taken = {*COLUMNS, *LAST_COLUMNS}
    done = tags.get("epochs_done", metrics.get("epochs"))
    started = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    return {name: value for name, value in config.items() if name not in taken} | {
        "sweep": tags.get("sweep"),
        "rung": tags.get("rung"),
        "trial": int(tags["trial"]),
        "run_id": run.info.run_id,
        "status": tags.get("outcome"),
        "val_accuracy": metrics.get("val_accuracy"),
        "test_accuracy": metrics.get("test_accuracy"),
        "epochs": None if done is None else int(done),
        "train_seconds": metrics.get("train_seconds"),
        "images_per_second": metrics.get("images_per_second"),
        "parameters_millions": metrics.get("parameters_millions"),
        "seed": int(tags["seed"]),
        "key": tags.get("key"),
        "git_sha": tags.get("git_sha"),
        "started": started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "best_val_accuracy": metrics.get("best_val_accuracy"),
        "reduced": tags.get("reduced"),
        "reused_from": tags.get("reused_from"),
        "protocol": tags.get("protocol", ""),
        "config_id": tags.get("config_id"),
        "study": tags.get("study"),
        "place": int(tags["place"]) if "place" in tags else None,
        "came_from": tags.get("came_from"),
        "error": tags.get("error"),
    }


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


def _packed(correct: np.ndarray) -> bytes:
    import numpy as np

    return np.packbits(correct).tobytes()


def _is_ready(uri: str) -> bool:
    """Return whether opening the store would create nothing, not even while a driver is creating it."""
    path = sqlite_file(uri)
    if path is None:
        return True
    if is_absent(uri):
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            query = "SELECT 1 FROM experiments WHERE name = ?"
            return database.execute(query, (experiment_name(),)).fetchone() is not None
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            return False
        raise RecordError(
            f"{path} cannot be read ({error}): if it is no MLflow database, move it away or set MLFLOW_TRACKING_URI"
        ) from error
