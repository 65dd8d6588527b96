"""The only module that writes MLflow: from the driver, on one thread, in batches, each thing once.

MLflow is the record that people read. The ledger stays the truth: whatever is missing here is written from it at the
next start, so that nothing in this module may end a sweep that is running.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from sweeps.records import Outcome, TrialRecord
from sweeps.tracking_queue import LatestQueue, PermanentError
from sweeps.tracking_values import (
    STATUS_OF,
    TAGS,
    MetricPoint,
    epoch_metrics,
    fact_tags,
    milliseconds,
    params_of,
    summary_metrics,
    tags_of,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_log = logging.getLogger(__name__)

EXPERIMENT = "cifar10"
CORRECT_FILE = "test_correct.npy"
"""Artifact of a tested run: one truth value a test image, in the file's order."""

PAGE = 1000
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
TAGS_PER_BATCH = 100


class RecordError(Exception):
    """The record cannot be opened, written or read. The message names the store and what to do."""


def store_uri(runs: Path) -> str:
    """Return where the record is: `MLFLOW_TRACKING_URI`, or the SQLite file in the runs folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{runs.resolve() / 'mlflow.db'}"


def experiment_name() -> str:
    """Return the name of the one experiment all sweeps share: `MLFLOW_EXPERIMENT_NAME`, or `cifar10`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def connect(uri: str) -> MlflowClient:
    """Return a client of the store. It sends no usage statistics, and a store that is away fails in seconds."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # MLflow's own seven tries take minutes, and the queue tries again anyhow.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    # It prints a stack trace of every failed statement, which is raised and told once here.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return MlflowClient(tracking_uri=uri)


def search_runs(client: MlflowClient, experiment_id: str, filter_string: str) -> Iterator[Run]:
    """Yield every run that matches, page by page: MLflow gives 1,000 and says nothing of the others."""
    token: str | None = None
    while True:
        page = client.search_runs([experiment_id], filter_string, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def quoted(value: str) -> str:
    """Return a text as MLflow's filter language writes it.

    Raises:
        RecordError: where it holds both kinds of quotes, which that language cannot write.
    """
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    raise RecordError(f"MLflow cannot search for {value!r}: use a name without quotes")


def delete_sweep(runs: Path, sweep: str) -> int:
    """Mark all runs of a sweep as deleted (`mlflow gc` frees the space), and return how many.

    Raises:
        RecordError: where the store cannot be reached or written.
    """
    uri = store_uri(runs)
    if is_absent(uri):
        return 0
    with store_errors(uri):
        client = connect(uri)
        experiment = client.get_experiment_by_name(experiment_name())
        if experiment is None:
            return 0
        found = list(search_runs(client, experiment.experiment_id, f"tags.sweep = {quoted(sweep)}"))
        for run in found:
            client.delete_run(run.info.run_id)
        return len(found)


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def is_absent(uri: str) -> bool:
    """Return whether the store is a file that is not there, so that reading it creates nothing."""
    path = sqlite_file(uri)
    return path is not None and not (path.is_file() and path.stat().st_size)


@contextlib.contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow, its database and the file system raise into a `RecordError` that says what to do."""
    # At a cost of 3 s, so not at the top. A failing import must not be caught below.
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        path = sqlite_file(uri)
        advice = (
            f"check that {path.parent} can be written and has space, or set MLFLOW_TRACKING_URI to another store"
            if path is not None
            else "check that the server is up (MLFLOW_TRACKING_URI), or unset it to record in the runs folder"
        )
        raise RecordError(f"the record at {_without_password(uri)} cannot be used: {reason}; {advice}") from error


@dataclass(kw_only=True)
class _Child:
    """What MLflow holds of one trial."""

    run_id: str
    name: str
    status: str
    end_ms: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    params: set[str] = field(default_factory=set)
    metrics: set[str] = field(default_factory=set)
    written: TrialRecord | None = None
    """The last record that was written whole by this process."""


class Tracker:
    """Writes the trials of one sweep as child runs of one parent run.

    Example:
        >>> with Tracker(runs=Path("runs"), sweep="quick", study="quick-1f", description="", facts={}) as tracker:
        ...     tracker.reconcile(ledger.records())
        ...     tracker.write(record)  # returns at once
    """

    def __init__(self, *, runs: Path, sweep: str, study: str, description: str, facts: dict[str, str]) -> None:
        self._runs = runs
        self._sweep = sweep
        self._study = study
        self._description = description
        self._facts = facts
        self._uri = store_uri(runs)
        self._children: dict[str, _Child] = {}
        self._doubtful: set[str] = set()
        self._queue: LatestQueue[TrialRecord] | None = None
        self.unwritten = 0
        """Trials whose newest state could not be written when the tracker was closed."""

    def open(self) -> Self:
        """Create what is missing, find what a former process wrote, and set the sweep's run RUNNING.

        Raises:
            RecordError: where the store cannot be reached or written.
        """
        with store_errors(self._uri):
            with self._alone():
                self._client = connect(self._uri)
                self._experiment_id = self._open_experiment()
            self._parent_id = self._open_parent()
            self._find_children()
        self._queue = LatestQueue(self._write, name=f"record of {self._sweep}")
        return self

    def write(self, record: TrialRecord) -> None:
        """Take the newest state of a trial, to be written soon. Returns at once and raises nothing of the store."""
        assert self._queue is not None, "open() first"
        self._queue.put(record.number, record)

    def flush(self, *, timeout: float = 30.0) -> bool:
        """Wait until all is written, at most `timeout` seconds, and return whether it is."""
        assert self._queue is not None, "open() first"
        return self._queue.flush(timeout=timeout)

    def reconcile(self, records: Iterable[TrialRecord], *, timeout: float = 120.0) -> bool:
        """Write all that the ledger holds and MLflow lacks; return whether that was done within `timeout` seconds.

        Runs of this study that are RUNNING and that the ledger does not know are of a driver that died: they end as
        interrupted.
        """
        records = list(records)
        for record in records:
            self.write(record)
        done = self.flush(timeout=timeout)
        known = {record.key for record in records}
        for key, child in list(self._children.items()):
            if key not in known and child.status == "RUNNING" and child.tags.get("study") == self._study:
                with self._survive("closing a run that the ledger does not know"):
                    self._client.set_tag(child.run_id, "outcome", Outcome.INTERRUPTED.value)
                    self._client.set_terminated(child.run_id, "KILLED")
                    child.status = "KILLED"
        return done

    def close(self, status: Literal["FINISHED", "KILLED", "FAILED"] = "FINISHED", *, timeout: float = 30.0) -> None:
        """Write what is left, at most `timeout` seconds, and end the sweep's run. `unwritten` says what was not."""
        if self._queue is None:
            return
        self.unwritten = self._queue.close(timeout=timeout)
        self._queue = None
        with self._survive("closing the sweep's run"):
            self._client.set_terminated(self._parent_id, status)
        if self.unwritten:
            _log.warning(
                "%d trials are not recorded in %s yet: they are in the ledger, and written at the next start",
                self.unwritten,
                _without_password(self._uri),
            )

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close("FINISHED")
        else:
            self.close("FAILED" if issubclass(kind, Exception) else "KILLED")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold other drivers off: two that create the schema at once both fail."""
        path = sqlite_file(self._uri)
        if path is None or os.name == "nt":
            yield
            return
        from mlflow.utils.file_utils import ExclusiveFileLock

        path.parent.mkdir(parents=True, exist_ok=True)
        with ExclusiveFileLock(str(path.with_name(f"{path.name}.lock"))):
            yield

    @contextlib.contextmanager
    def _survive(self, doing: str) -> Iterator[None]:
        try:
            with store_errors(self._uri):
                yield
        except RecordError as error:
            _log.warning("%s: %s", doing, error)

    def _open_experiment(self) -> str:
        name = experiment_name()
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            # A server knows itself where its artifacts go.
            remote = self._uri.startswith(("http://", "https://"))
            folder = None if remote else (self._runs.resolve() / "artifacts").as_uri()
            return self._client.create_experiment(name, artifact_location=folder)
        if experiment.lifecycle_stage != "active":
            raise RecordError(
                f"the experiment {name!r} in {_without_password(self._uri)} is deleted: restore it with "
                f"`mlflow experiments restore -x {experiment.experiment_id}`, or set MLFLOW_EXPERIMENT_NAME"
            )
        return str(experiment.experiment_id)

    def _open_parent(self) -> str:
        tags = {"kind": "sweep", "sweep": self._sweep, "study": self._study} | fact_tags(self._facts)
        tags["mlflow.note.content"] = self._description
        where = " and ".join(f"tags.{name} = {quoted(tags[name])}" for name in ("kind", "sweep", "study"))
        found = next(search_runs(self._client, self._experiment_id, where), None)
        if found is None:
            run = self._client.create_run(self._experiment_id, tags=tags, run_name=self._sweep)
            return str(run.info.run_id)
        run_id = str(found.info.run_id)
        self._log_batch(run_id, tags=tags)
        self._client.update_run(run_id, status="RUNNING")
        return run_id

    def _find_children(self) -> None:
        where = f"tags.kind = 'trial' and tags.sweep = {quoted(self._sweep)}"
        for run in search_runs(self._client, self._experiment_id, where):
            self._adopt(run)

    def _adopt(self, run: Run) -> None:
        child = _Child(
            run_id=run.info.run_id,
            name=run.info.run_name,
            status=run.info.status,
            end_ms=run.info.end_time,
            tags=dict(run.data.tags),
            params=set(run.data.params),
            metrics=set(run.data.metrics),
        )
        key = child.tags["key"]
        other = self._children.get(key)
        if other is None:
            self._children[key] = child
            return
        # Two drivers at once, or a create whose answer was lost twice: keep the one that holds more.
        kept, dropped = sorted((child, other), key=lambda c: (-len(c.metrics), c.run_id))
        self._children[key] = kept
        self._client.delete_run(dropped.run_id)

    def _write(self, record: TrialRecord) -> None:
        """Bring MLflow to a record's state. Runs on the queue's thread.

        The outcome is written after the epochs and the status last, so that a run that says it is complete is.
        """
        from mlflow.exceptions import MlflowException

        try:
            child = self._children.get(record.key) or self._create(record)
            if child.written == record:
                return
            self._log_params_and_metrics(child, record)
            self._log_tags(child, record)
            self._log_status(child, record)
            child.written = record
        except MlflowException as error:
            if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                raise PermanentError(str(error)) from error
            raise

    def _create(self, record: TrialRecord) -> _Child:
        if record.key in self._doubtful:
            # The store may have created the run and died before it answered.
            self._find_children()
            if found := self._children.get(record.key):
                return found
        self._doubtful.add(record.key)
        tags = tags_of(record, facts=self._facts)
        # The key comes with the run itself: a process that dies right after leaves a run that is found again.
        tags |= {"outcome": Outcome.RUNNING.value, "epochs_done": "0", "mlflow.parentRunId": self._parent_id}
        run = self._client.create_run(
            self._experiment_id, start_time=milliseconds(record.started), tags=tags, run_name=_run_name(record)
        )
        child = _Child(run_id=run.info.run_id, name=_run_name(record), status="RUNNING", tags=tags)
        self._children[record.key] = child
        self._doubtful.discard(record.key)
        return child

    def _log_params_and_metrics(self, child: _Child, record: TrialRecord) -> None:
        params = params_of(record.config.resolved())
        # Immutable in MLflow; one written by an older version stays as it is.
        params = {name: value for name, value in params.items() if name not in child.params}
        metrics = _missing_metrics(child, record)
        if record.test is not None and (child.written is None or child.written.test != record.test):
            self._log_correctness(child, record)
        self._log_batch(child.run_id, metrics=metrics, params=params)
        child.params |= params.keys()

    def _log_correctness(self, child: _Child, record: TrialRecord) -> None:
        assert record.test is not None
        if child.written is None and "test_accuracy" in child.metrics:
            return
        correct = np.unpackbits(np.frombuffer(record.test.correct, np.uint8), count=record.test.count)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / CORRECT_FILE
            np.save(path, correct.astype(bool))
            self._client.log_artifact(child.run_id, str(path))

    def _log_tags(self, child: _Child, record: TrialRecord) -> None:
        wanted = tags_of(record, facts=self._facts) | {"mlflow.parentRunId": self._parent_id}
        changed = {name: value for name, value in wanted.items() if child.tags.get(name) != value}
        self._log_batch(child.run_id, tags=changed)
        for name in [name for name in TAGS if name in child.tags and name not in wanted]:
            self._client.delete_tag(child.run_id, name)
            del child.tags[name]
        child.tags |= changed

    def _log_status(self, child: _Child, record: TrialRecord) -> None:
        name, status = _run_name(record), STATUS_OF[record.outcome]
        if child.name != name:
            self._client.update_run(child.run_id, name=name)
            child.name = name
        if status == "RUNNING":
            if child.status != status:
                self._client.update_run(child.run_id, status=status)
        else:
            ended = record.epochs[-1].finished_at if record.epochs else record.started
            end_ms = milliseconds(ended if record.finished is None else record.finished)
            if (child.status, child.end_ms) != (status, end_ms):
                self._client.set_terminated(child.run_id, status, end_time=end_ms)
                child.end_ms = end_ms
        child.status = status

    def _log_batch(
        self,
        run_id: str,
        *,
        metrics: Iterable[MetricPoint] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        parts: list[dict[str, list[Any]]] = []
        points = [Metric(m.name, m.value, m.timestamp_ms, m.step) for m in metrics]
        for kind, items, size in (
            ("params", [Param(name, value) for name, value in (params or {}).items()], PARAMS_PER_BATCH),
            ("metrics", points, METRICS_PER_BATCH - PARAMS_PER_BATCH - TAGS_PER_BATCH),
            ("tags", [RunTag(name, value) for name, value in (tags or {}).items()], TAGS_PER_BATCH),
        ):
            for number, start in enumerate(range(0, len(items), size)):
                if number == len(parts):
                    parts.append({})
                parts[number][kind] = items[start : start + size]
        for part in parts:
            self._client.log_batch(run_id, **part)


def _missing_metrics(child: _Child, record: TrialRecord) -> list[MetricPoint]:
    before = child.written
    if before is None:
        told = (child.tags.get("outcome"), child.tags.get("epochs_done"))
        is_whole = record.outcome.is_final and told == (record.outcome.value, str(len(record.epochs)))
        summary = summary_metrics(record)
        if is_whole:
            return [point for point in summary if point.name not in child.metrics]
        # Values that are there already, with the same step and time, are the same rows: nothing doubles.
        return epoch_metrics(record.epochs) + summary
    old = before.epochs
    new = tuple(e for place, e in enumerate(record.epochs) if place >= len(old) or old[place] != e)
    said = set(summary_metrics(before))
    return epoch_metrics(new) + [point for point in summary_metrics(record) if point not in said]


def _run_name(record: TrialRecord) -> str:
    return record.rung or f"{record.sweep}-{record.number:03d}"


def _without_password(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
