"""Reads the record: the trials of all sweeps as one table, and details of one run."""

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
from sweeps.record.columns import ROW_FIELDS
from sweeps.record.epochs import EPOCH_FIELDS, epochs_table
from sweeps.record.mapping import (
    CORRECT_FILE,
    EPOCH_SECONDS,
    LOGGED_MODEL,
    TAGS,
    epoch_metric_names,
    recorded_config,
)
from sweeps.record.ownership import JournalRuns, Ownership
from sweeps.record.recorded_run import ALL_FIELDS, RunFields, RunStore
from sweeps.record.store import redact, sqlite_file, store_uri, uses_default_record
from sweeps.record.stores import open_store
from sweeps.record.table import Table, row_of, table_of
from sweeps.record.trial_run import TrialRun, parse_run, parse_runs, read_folder_trials, read_trials

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class RecordReader(Protocol):
    """Reads the record. Each method raises `RecordError` if the store cannot be read."""

    @property
    def location(self) -> str:
        """Address of the record, for messages."""
        ...

    def sweeps(self) -> set[str]:
        """Return the names of all recorded sweeps, also of those without a trial."""
        ...

    def runs(self, *, sweep: str | None = None) -> Table:
        """Return one row per trial: `COLUMNS`, the configuration under dotted names, `LAST_COLUMNS`."""
        ...

    def epochs(self, *, sweep: str | None = None) -> pa.Table:
        """Return one row per epoch of each trial: `EPOCH_COLUMNS`; see `sweeps.record.epochs`."""
        ...

    def configuration(self, run_id: str) -> TaskConfig:
        """Return the configuration of a run."""
        ...

    def curve(self, run_id: str) -> list[EpochResult]:
        """Return the epochs of a run, in order."""
        ...

    def correctness(self, run_id: str) -> np.ndarray | None:
        """Return a bool array with an entry per test image, in the file's order; None if the run was not tested."""
        ...

    def logged_model(self, run_id: str) -> str | None:
        """Return the URI of the MLflow model of a run; None if it has none."""
        ...

    def confusion(self, run_id: str, *, of: Literal["test", "validation"] = "test") -> Confusion | None:
        """Return the confusion matrix of a run, a row per true class; None if it was not recorded."""
        ...

    def environment(self, run_id: str) -> dict[str, str]:
        """Return the environment of a run (host, device, threads, commit, versions) and tags set by users."""
        ...


class MlflowReader:
    """Reads the store that `Tracker` writes. A missing store is empty and is not created."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs

    @functools.cached_property
    def _store(self) -> RunStore:
        return open_store(self._runs)

    @property
    def location(self) -> str:
        uri = store_uri(self._runs)
        return str(sqlite_file(uri) or redact(uri))

    def sweeps(self) -> set[str]:
        return {run.tags["sweep"] for run in self._store.runs({"kind": "sweep"}) if "sweep" in run.tags}

    def runs(self, *, sweep: str | None = None) -> Table:
        return table_of(row_of(run) for run in self._trials(sweep=sweep, fields=ROW_FIELDS))

    def epochs(self, *, sweep: str | None = None) -> pa.Table:
        runs = self._trials(sweep=sweep, fields=EPOCH_FIELDS)
        points = self._store.epochs([run.run_id for run in runs])
        return epochs_table(runs, points, curve=self._curve)

    def configuration(self, run_id: str) -> TaskConfig:
        run = self._run(run_id)
        config = recorded_config(run.tags, run.params)
        if config is None:
            raise RecordError(
                f"the configuration of run {run_id} cannot be read, because another version of this project recorded "
                "it. Read it with that version."
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
                # A later attempt at an epoch replaces an earlier one.
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
        # The model may have been deleted.
        return uri if uri is not None and self._store.has_model(uri.removeprefix("models:/")) else None

    def trials(self, *, sweep: str) -> list[RecordedTrial]:
        """Return the trials of all studies of a sweep in this runs folder."""
        ours = filter(self._ownership.belongs_to_folder, read_trials(self._store, sweep=sweep))
        return [RecordedTrial(study=run.study, trial=run.trial) for run in ours]

    def file_of(self, sweep: str) -> str | None:
        """Return the text of a sweep's file at its last start; None if it was not recorded."""
        found = sorted(self._store.runs({"kind": "sweep", "sweep": sweep}), key=lambda run: run.start_ms)
        contents = [self._store.artifact(run.run_id, f"{sweep}.yaml") for run in found]
        kept = [content.decode("utf-8", "replace") for content in contents if content is not None]
        return kept[-1] if kept else None

    def holds(self, records: Iterable[TrialRecord], *, study: str) -> bool:
        """Return whether the record contains these trials of a study completely, and no other open run of it."""
        runs = [run for run in self._store.runs({"study": study}) if self._ownership.includes(run)]
        trials, unreadable = parse_runs(runs)
        children = {run.key: ChildRun.of(run) for run in trials}
        if unreadable or [run.status for run in runs if run.tags.get("kind") == "sweep"] != ["FINISHED"]:
            return False
        return all(record.key in children and children.pop(record.key).holds(record) for record in records) and not any(
            child.status == "RUNNING" for child in children.values()
        )

    def complete_runs(self) -> dict[str, TrialRun]:
        """Return key → complete run: the first trained one, else the first that reused a result."""
        found: dict[str, TrialRun] = {}
        runs, _ = parse_runs(self._store.runs({"kind": "trial", "outcome": "complete"}))
        for run in sorted(runs, key=lambda run: ("reused_from" in run.tags, run.start_ms, run.run_id)):
            found.setdefault(run.key, run)
        return found

    def belongs_to_folder(self, run: TrialRun) -> bool:
        """Return whether a run belongs to this runs folder."""
        return self._ownership.belongs_to_folder(run)

    def _trials(self, *, sweep: str | None, fields: RunFields = ALL_FIELDS) -> list[TrialRun]:
        return read_folder_trials(self._runs, self._store, sweep=sweep, fields=fields)

    @property
    def _ownership(self) -> Ownership:
        return Ownership(self._runs)  # not cached: a start adds owners

    def _run(self, run_id: str) -> TrialRun:
        found = parse_run(self._store.run(run_id))
        if isinstance(found, TrialRun):
            return found
        raise RecordError(f"run {run_id} is not a trial" if found is None else f"{found}. {found.advice}")


def _one_attempt(measured: Mapping[int, Mapping[str, float]], ended: Mapping[int, float]) -> list[EpochResult]:
    """Return the epochs from 1 without a gap. An epoch older than the one before is from an earlier attempt."""
    curve: list[EpochResult] = []
    while (values := measured.get(len(curve) + 1)) is not None:
        finished = ended[len(curve) + 1]
        if curve and finished < curve[-1].finished_at:
            break
        if EPOCH_SECONDS not in values or not values.keys() >= measured[1].keys():
            break  # a driver failed between two batches of this epoch
        metrics = {name: value for name, value in values.items() if name != EPOCH_SECONDS}
        curve.append(
            EpochResult(epoch=len(curve) + 1, seconds=values[EPOCH_SECONDS], finished_at=finished, metrics=metrics)
        )
    return curve


def delete_sweep(runs: Path, sweep: str, journal: JournalRuns) -> int:
    """Mark the runs of a sweep as deleted (`mlflow gc` frees the space); return their number with the parent run.

    On a server, runs of another runs folder's sweep of this name are kept.

    Args:
        runs: The runs folder.
        sweep: Name of the sweep.
        journal: Identities of its runs.

    Raises:
        RecordError: The store cannot be read or written.
    """
    store = open_store(runs)
    found = [run for run in store.runs({"sweep": sweep}) if uses_default_record(runs) or journal.contains(run)]
    store.delete([run.run_id for run in found])
    return len(found)
