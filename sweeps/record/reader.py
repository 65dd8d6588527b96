"""Reading the record: every trial of every sweep as one table, and what else there is of one run."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from sweeps.core.errors import RecordError
from sweeps.core.identity import RecordedTrial
from sweeps.core.results import Confusion, EpochResult
from sweeps.core.task import TaskConfig
from sweeps.core.trial import TrialRecord
from sweeps.record.child_run import ChildRun
from sweeps.record.columns import OF_A_ROW
from sweeps.record.epochs import OF_AN_EPOCH, epochs_table
from sweeps.record.mapping import (
    CORRECT_FILE,
    EPOCH_SECONDS,
    LOGGED_MODEL,
    TAGS,
    epoch_metric_names,
    recorded_config,
)
from sweeps.record.ownership import Ownership, OwnRuns
from sweeps.record.recorded_run import ALL, RunStore, Wanted
from sweeps.record.store import is_own
from sweeps.record.stores import open_store
from sweeps.record.table import Table, row_of, table_of
from sweeps.record.trial_run import TrialRun, own_trials, read_trials, sorted_runs, understand

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class RecordReader(Protocol):
    """What reads the record. Each method raises `RecordError` where the store cannot be read."""

    def runs(self, *, sweep: str | None = None) -> Table:
        """Return one row a trial: `COLUMNS`, the configuration under dotted names, `LAST_COLUMNS`."""
        ...

    def epochs(self, *, sweep: str | None = None) -> pa.Table:
        """Return one row an epoch of each trial: `EPOCH_COLUMNS`; see `sweeps.record.epochs`."""
        ...

    def configuration(self, run_id: str) -> TaskConfig:
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

    def runs(self, *, sweep: str | None = None) -> Table:
        return table_of(row_of(run) for run in self._trials(sweep=sweep, wanted=OF_A_ROW))

    def epochs(self, *, sweep: str | None = None) -> pa.Table:
        runs = self._trials(sweep=sweep, wanted=OF_AN_EPOCH)
        points = self._store.epochs([run.run_id for run in runs])
        return epochs_table(runs, points, curve=self._curve)

    def configuration(self, run_id: str) -> TaskConfig:
        run = self._run(run_id)
        config = recorded_config(run.tags, run.params)
        if config is None:
            raise RecordError(
                f"the configuration of run {run_id} cannot be read: it was recorded by another version of this project"
            )
        return config

    def curve(self, run_id: str) -> list[EpochResult]:
        return self._curve(self._run(run_id))

    def _curve(self, run: TrialRun) -> list[EpochResult]:
        measured: dict[int, dict[str, float]] = {}
        ended: dict[int, float] = {}
        names = epoch_metric_names(run.params, run.metrics)
        for point in sorted(self._store.history(run.run_id, names=names), key=lambda point: point.timestamp_ms):
            if point.name in names and point.step > 0:
                # A later attempt at an epoch stands for it.
                measured.setdefault(point.step, {})[point.name] = point.value
                ended[point.step] = max(ended.get(point.step, 0.0), point.timestamp_ms / 1000)
        for (name, step), value in run.not_finite.items():
            if step in measured and name in names:
                measured[step].setdefault(name, value)
        curve = _one_attempt(measured, ended)
        last = run.val_confusion
        return curve if last is None else [*curve[:-1], *(replace(epoch, val_confusion=last) for epoch in curve[-1:])]

    def correctness(self, run_id: str) -> np.ndarray | None:
        import numpy as np

        content = self._store.artifact(run_id, CORRECT_FILE)
        if content is None:
            return None
        correct: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
        return correct

    def confusion(self, run_id: str, *, of: Literal["test", "validation"] = "test") -> Confusion | None:
        run = self._run(run_id)
        return run.confusion if of == "test" else run.val_confusion

    def environment(self, run_id: str) -> dict[str, str]:
        tags = self._run(run_id).tags
        return {name: value for name, value in tags.items() if name not in TAGS and not name.startswith("mlflow.")}

    def logged_model(self, run_id: str) -> str | None:
        uri = self._run(run_id).tags.get(LOGGED_MODEL)
        # Somebody may have deleted it.
        return uri if uri is not None and self._store.has_model(uri.removeprefix("models:/")) else None

    def trials(self, *, sweep: str) -> list[RecordedTrial]:
        """Return the trials of a sweep, of all its studies in this runs folder."""
        ours = filter(self._ownership.is_ours, read_trials(self._store, sweep=sweep))
        return [RecordedTrial(study=run.study, trial=run.trial) for run in ours]

    def file_of(self, sweep: str) -> str | None:
        """Return the file of a sweep as it was run last; None where the record holds none."""
        found = sorted(self._store.runs({"kind": "sweep", "sweep": sweep}), key=lambda run: run.start_ms)
        contents = [self._store.artifact(run.run_id, f"{sweep}.yaml") for run in found]
        kept = [content.decode("utf-8", "replace") for content in contents if content is not None]
        return kept[-1] if kept else None

    def holds(self, records: Iterable[TrialRecord], *, study: str) -> bool:
        """Return whether the record holds these trials of a study whole, and no other that is not ended."""
        runs = [run for run in self._store.runs({"study": study}) if self._ownership.takes(run)]
        trials, unreadable = sorted_runs(runs)
        children = {run.key: ChildRun.of(run) for run in trials}
        if unreadable or [run.status for run in runs if run.tags.get("kind") == "sweep"] != ["FINISHED"]:
            return False
        return all(record.key in children and children.pop(record.key).holds(record) for record in records) and not any(
            child.status == "RUNNING" for child in children.values()
        )

    def complete_runs(self) -> dict[str, TrialRun]:
        """Return the complete run of each key: the first that was trained, else the first that took its result over."""
        found: dict[str, TrialRun] = {}
        runs, _ = sorted_runs(self._store.runs({"kind": "trial", "outcome": "complete"}))
        for run in sorted(runs, key=lambda run: ("reused_from" in run.tags, run.start_ms, run.run_id)):
            found.setdefault(run.key, run)
        return found

    def is_ours(self, run: TrialRun) -> bool:
        """Return whether a run is of this runs folder."""
        return self._ownership.is_ours(run)

    def _trials(self, *, sweep: str | None, wanted: Wanted = ALL) -> list[TrialRun]:
        return own_trials(self._runs, self._store, sweep=sweep, wanted=wanted)

    @property
    def _ownership(self) -> Ownership:
        return Ownership(self._runs)  # each time anew: a start notes whose it is

    def _run(self, run_id: str) -> TrialRun:
        found = understand(self._store.run(run_id))
        if isinstance(found, TrialRun):
            return found
        raise RecordError(f"run {run_id} is no trial" if found is None else f"{found}; {found.advice}")


def _one_attempt(measured: Mapping[int, Mapping[str, float]], ended: Mapping[int, float]) -> list[EpochResult]:
    """Return the epochs from 1 without a gap; an epoch older than the one before is of a former attempt."""
    curve: list[EpochResult] = []
    while (values := measured.get(len(curve) + 1)) is not None:
        finished = ended[len(curve) + 1]
        if curve and finished < curve[-1].finished_at:
            break
        if EPOCH_SECONDS not in values or not values.keys() >= measured[1].keys():
            break  # a driver died between two batches of this epoch
        metrics = {name: value for name, value in values.items() if name != EPOCH_SECONDS}
        curve.append(
            EpochResult(epoch=len(curve) + 1, seconds=values[EPOCH_SECONDS], finished_at=finished, metrics=metrics)
        )
    return curve


def delete_sweep(runs: Path, sweep: str, own: OwnRuns) -> int:
    """Mark the runs of a sweep as deleted (`mlflow gc` frees the space); return how many, its own included.

    On a server another runs folder's sweep of this name stays.

    Args:
        runs: the runs folder.
        sweep: its name.
        own: what its journals know of them.

    Raises:
        RecordError: where the store cannot be reached or written.
    """
    store = open_store(runs)
    found = [run for run in store.runs({"sweep": sweep}) if is_own(runs) or own.has(run)]
    store.delete([run.run_id for run in found])
    return len(found)
