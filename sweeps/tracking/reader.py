"""Reading the record: every trial of every sweep as one table, and what else there is of one run."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from cifar_core.config import TrainingConfig
from cifar_core.results import Confusion, EpochResult, as_confusion
from sweeps.errors import RecordError
from sweeps.identity import RecordedTrial
from sweeps.tracking.child_run import ChildRun
from sweeps.tracking.epochs import OF_AN_EPOCH, epochs_table
from sweeps.tracking.frame import OF_A_ROW, frame_of, row_of
from sweeps.tracking.mapping import (
    CONFUSION,
    CORRECT_FILE,
    EPOCH_METRICS,
    LOGGED_MODEL,
    NOT_FINITE,
    TAGS,
    VAL_CONFUSION,
    read_not_finite,
    recorded_config,
)
from sweeps.tracking.recorded_run import RecordedRun, RunStore, open_store
from sweeps.trial_record import TrialRecord

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa


class RecordReader(Protocol):
    """What reads the record. Each method raises `RecordError` where the store cannot be read."""

    def runs(self, *, sweep: str | None = None) -> pd.DataFrame:
        """Return one row a trial: `COLUMNS`, the configuration under dotted names, `LAST_COLUMNS`."""
        ...

    def epochs(self, *, sweep: str | None = None) -> pa.Table:
        """Return one row an epoch of each trial: `EPOCH_COLUMNS`; see `sweeps.tracking.epochs`."""
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

    def logged_model(self, run_id: str) -> str | None:
        """Return the address of the model that a run's network is stored as in MLflow, None where it is not."""
        ...

    def confusion(self, run_id: str, *, of: Literal["test", "validation"] = "test") -> Confusion | None:
        """Return how many images of each class (row) a run took for each class; None where nobody noted it."""
        ...

    def environment(self, run_id: str) -> dict[str, str]:
        """Return where a run was trained and with what: host, device, threads, commit, versions; and foreign tags."""
        ...


class MlflowReader:
    """Reads the store that `Tracker` writes. One that does not exist reads as empty and is not created."""

    def __init__(self, runs: Path) -> None:
        """Open nothing yet: the store may not be there, or be a server."""
        self._runs = runs

    @functools.cached_property
    def _store(self) -> RunStore:
        return open_store(self._runs)

    def runs(self, *, sweep: str | None = None) -> pd.DataFrame:
        return frame_of(row_of(run) for run in self._store.runs(_trials_of(sweep), wanted=OF_A_ROW))

    def epochs(self, *, sweep: str | None = None) -> pa.Table:
        runs = self._store.runs(_trials_of(sweep), wanted=OF_AN_EPOCH)
        points = self._store.epochs([run.run_id for run in runs])
        return epochs_table(runs, points, curve=lambda run: self.curve(run.run_id))

    def configuration(self, run_id: str) -> TrainingConfig:
        run = self._store.run(run_id)
        config = recorded_config(run.tags, run.params)
        if config is None:
            raise RecordError(
                f"the configuration of run {run_id} cannot be read: it was recorded by another version of this project"
            )
        return config

    def curve(self, run_id: str) -> list[EpochResult]:
        run = self._store.run(run_id)
        fields: dict[int, dict[str, Any]] = {}
        for point in sorted(self._store.history(run_id), key=lambda point: point.timestamp_ms):
            if point.name not in EPOCH_METRICS:
                continue
            # A later attempt at an epoch stands for it.
            values = fields.setdefault(point.step, {"finished_at": 0.0})
            values[EPOCH_METRICS[point.name]] = point.value
            values["finished_at"] = max(values["finished_at"], point.timestamp_ms / 1000)
        for (name, step), value in read_not_finite(run.tags.get(NOT_FINITE)).items():
            if step in fields and name in EPOCH_METRICS:
                fields[step].setdefault(EPOCH_METRICS[name], value)
        curve = _one_attempt(fields)
        last = _confusion(run, VAL_CONFUSION)
        return curve if last is None else [*curve[:-1], *(replace(epoch, val_confusion=last) for epoch in curve[-1:])]

    def correctness(self, run_id: str) -> np.ndarray | None:
        import numpy as np

        content = self._store.artifact(run_id, CORRECT_FILE)
        if content is None:
            return None
        correct: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
        return correct

    def confusion(self, run_id: str, *, of: Literal["test", "validation"] = "test") -> Confusion | None:
        return _confusion(self._store.run(run_id), CONFUSION if of == "test" else VAL_CONFUSION)

    def environment(self, run_id: str) -> dict[str, str]:
        tags = self._store.run(run_id).tags
        return {name: value for name, value in tags.items() if name not in TAGS and not name.startswith("mlflow.")}

    def logged_model(self, run_id: str) -> str | None:
        uri = self._store.run(run_id).tags.get(LOGGED_MODEL)
        # Somebody may have deleted it.
        return uri if uri is not None and self._store.has_model(uri.removeprefix("models:/")) else None

    def trials(self, *, sweep: str) -> list[RecordedTrial]:
        """Return the trials of a sweep, of all its studies."""
        found = self._store.runs({"kind": "trial", "sweep": sweep})
        return [RecordedTrial(study=run.tags.get("study", ""), trial=int(run.tags["trial"])) for run in found]

    def file_of(self, sweep: str) -> str | None:
        """Return the file of a sweep as it was run last; None where the record holds none."""
        found = sorted(self._store.runs({"kind": "sweep", "sweep": sweep}), key=lambda run: run.start_ms)
        contents = [self._store.artifact(run.run_id, f"{sweep}.yaml") for run in found]
        kept = [content.decode("utf-8", "replace") for content in contents if content is not None]
        return kept[-1] if kept else None

    def holds(self, records: Iterable[TrialRecord], *, study: str) -> bool:
        """Return whether the record holds these trials of a study whole, and no other that is not ended."""
        parents = self._store.runs({"kind": "sweep", "study": study})
        children = {run.tags["key"]: ChildRun.of(run) for run in self._store.runs({"kind": "trial", "study": study})}
        if [run.status for run in parents] != ["FINISHED"]:
            return False
        return all(record.key in children and children.pop(record.key).holds(record) for record in records) and not any(
            child.status == "RUNNING" for child in children.values()
        )

    def complete_runs(self) -> dict[str, RecordedRun]:
        """Return the complete run of each key: the first that was trained, else the first that took its result over."""
        found: dict[str, RecordedRun] = {}
        runs = self._store.runs({"kind": "trial", "outcome": "complete"})
        for run in sorted(runs, key=lambda run: ("reused_from" in run.tags, run.start_ms, run.run_id)):
            found.setdefault(run.tags["key"], run)
        return found


def _trials_of(sweep: str | None) -> dict[str, str]:
    return {"kind": "trial"} | ({} if sweep is None else {"sweep": sweep})


def _confusion(run: RecordedRun, tag: str) -> Confusion | None:
    return as_confusion(json.loads(run.tags.get(tag, "null")))


def _one_attempt(fields: dict[int, dict[str, Any]]) -> list[EpochResult]:
    """Return the epochs from 1 without a gap; an epoch older than the one before is of a former attempt."""
    curve: list[EpochResult] = []
    while (values := fields.get(len(curve) + 1)) is not None:
        if curve and values["finished_at"] < curve[-1].finished_at:
            break
        whole = {"epoch": len(curve) + 1, "val_loss": None, "val_accuracy": None, "val_confusion": None, **values}
        if len(whole) < len(dataclasses.fields(EpochResult)):
            break  # a driver died between two batches of this epoch
        curve.append(EpochResult.from_dict(whole))
    return curve


def delete_sweep(runs: Path, sweep: str) -> int:
    """Mark all runs of a sweep as deleted (`mlflow gc` frees the space); return how many, its own included.

    Raises:
        RecordError: where the store cannot be reached or written.
    """
    store = open_store(runs)
    found = store.runs({"sweep": sweep})
    store.delete([run.run_id for run in found])
    return len(found)
