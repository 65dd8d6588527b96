"""Writes trials to MLflow: in the driver, on one thread, in batches, each value once.

The ledger is authoritative: what is missing in MLflow is written from it at the next start. An error in this module
must therefore not stop a running sweep.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np

from sweeps.core.errors import RecordError
from sweeps.core.formatting import plural, truncated
from sweeps.core.identity import is_study_of
from sweeps.core.results import TestResult
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record.child_run import ChildRun, end_ms, record_of, run_name
from sweeps.record.client import log_batch, search_runs, store_errors
from sweeps.record.inputs import RecordedData, dataset_inputs
from sweeps.record.mapping import (
    CORRECT_FILE,
    DESCRIPTION,
    LABELS,
    LOGGED_MODEL,
    MAX_TAG,
    METRICS,
    STATUS_OF,
    TAGS,
    MetricPoint,
    client_tags,
    environment_tags,
    milliseconds,
    tags_of,
)
from sweeps.record.opening import open_to_write
from sweeps.record.ownership import OWNER
from sweeps.record.parent_run import ParentRun, RecordedStudy, log_files
from sweeps.record.queue import LatestQueue, PermanentError
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.run_files import FILED, NOT_YET, files_outcome, run_files
from sweeps.record.store import quoted, redact, store_uri, uses_default_record
from sweeps.record.stores import open_store
from sweeps.record.sweep_progress import Objective, SweepProgress
from sweeps.record.system_metrics import SystemMetrics
from sweeps.record.timeouts import wait_budget
from sweeps.record.trial_run import TrialRun, UnreadableRun, parse_run
from sweeps.store.run_folder import local_artifacts
from sweeps.tasks.registry import task_of

_log = logging.getLogger(__name__)


class Tracker:
    """Writes the trials of one sweep as child runs of one parent run.

    Example:
        >>> study = RecordedStudy(sweep="quick", name="quick-1f")
        >>> with Tracker(study, runs=runs, environment={}) as tracker:
        ...     tracker.reconcile(ledger.records)
        ...     tracker.write(record)  # returns at once
    """

    def __init__(
        self,
        study: RecordedStudy,
        *,
        runs: Path,
        environment: Mapping[str, str],
        description: str | None = None,
        files: Mapping[str, str] | None = None,
        dataset: RecordedData | None = None,
        objective: Objective | None = None,
        writes_progress: bool = True,
    ) -> None:
        """Open the store, find the runs of earlier processes, and set the parent run RUNNING.

        Args:
            study: Study of the trials.
            runs: The runs folder.
            environment: Fact → value (host, git_sha, versions), for the parent run and its trials.
            description: Description of the sweep in Markdown; None keeps the current one. See also `close`.
            files: Artifact name → text for the parent run, such as the sweep's file and a diff.
            dataset: The training data; None records none.
            objective: Metric of the search; None for a ladder.
            writes_progress: Whether the parent run gets the number of ended trials and the best value so far.

        Raises:
            RecordError: The store cannot be written.
        """
        self._runs = runs
        self._sweep, self._study = study.sweep, study.name
        self._dataset = dataset
        self._environment = environment_tags(environment) | client_tags(environment, command=study.command)
        self._writes_progress = writes_progress
        self._owner = {} if study.owner is None else {OWNER: study.owner}
        self._uri = store_uri(runs)
        self._children: dict[str, ChildRun] = {}
        self._uncertain: set[str] = set()
        self._unassigned: list[RecordedRun] = []
        self._points: list[MetricPoint] = []
        self._system_metrics = SystemMetrics()
        self._is_closed = False
        self.unwritten = 0
        """Number of trials whose newest state was not written when the tracker was closed."""
        wait_budget(self._uri).reset()
        with store_errors(self._uri):
            self._client, self._experiment_id = open_to_write(self._uri, runs)
            self._parent = ParentRun.open(self._client, self._experiment_id, study)
            self._progress = SweepProgress(objective, written=self._parent.ended)
            self._parent.write(tags=self._environment, description=description)
            self._files_failed = not self._write_files(files or {})
            self._find_children()
            if uses_default_record(runs):
                # On a server, a driver of another runs folder may be training a sweep of this name.
                self._end_abandoned_runs()
            self._system_metrics.start(self._parent.run_id, uri=self._uri)
        self._queue = LatestQueue(self._write, name=f"record of {self._sweep}")

    def _write_files(self, files: Mapping[str, str]) -> bool:
        """Write files and data set of the parent run; return whether that succeeded."""
        try:
            self._parent.write_files(files, dataset=self._dataset)
        except Exception as error:  # as in `_log_files`
            _log.warning("the files of the sweep's run in MLflow could not be stored: %s", error)
            return False
        return True

    def write(self, record: TrialRecord) -> None:
        """Queue the newest state of a trial. Returns at once. After `close` the state is left to the next start."""
        if not self._is_closed:
            self._queue.put(record.number, record)

    def flush(self, *, timeout: float = 30.0) -> bool:
        """Wait until everything is written, at most `timeout` seconds; return whether it is."""
        return self._queue.flush(timeout=timeout)

    def reconcile(self, records: Iterable[TrialRecord], *, timeout: float = 120.0) -> bool:
        """Write what MLflow lacks of the ledger; return whether that was done within `timeout` seconds.

        RUNNING runs of this study that are not in the ledger were left by a killed driver: they are set to
        interrupted.
        """
        # In the order of their ends, for the curve of the best value so far.
        records = sorted(records, key=end_ms)
        self._assign_edited_runs(records)
        for record in records:
            self.write(record)
        done = self.flush(timeout=timeout)
        known = {record.key for record in records}
        for key, child in list(self._children.items()):
            if key not in known and child.status == "RUNNING" and self._belongs_here(child.tags):
                with self._log_errors("a run that is not in the ledger could not be set to interrupted"):
                    self._client.set_tag(child.run_id, "outcome", Outcome.INTERRUPTED.value)
                    self._client.set_terminated(child.run_id, STATUS_OF[Outcome.INTERRUPTED])
                    child.tags["outcome"] = Outcome.INTERRUPTED.value
                    child.status = STATUS_OF[Outcome.INTERRUPTED]
        return done

    def close(
        self, status: Literal["FINISHED", "KILLED", "FAILED"] = "FINISHED", *, description: str | None = None
    ) -> None:
        """Write the rest and end the parent run, in at most `timeouts.END_SECONDS`; see `unwritten`.

        Args:
            status: MLflow's final status.
            description: Results of the sweep, in Markdown; None keeps the current description.
        """
        if self._is_closed:
            return
        budget = wait_budget(self._uri)
        self.unwritten = self._queue.close(timeout=budget.start_final_phase())
        reason = self._queue.failure
        self._is_closed = True
        if reason is None:
            self._system_metrics.end()
            try:
                with store_errors(self._uri):
                    if description is not None:
                        self._parent.write(description=description)
                    self._parent.end(self._progress.status(status), end_ms=self._progress.last_end_ms)
            except RecordError as error:
                reason = str(error)
        if reason is not None:
            budget.use_up()
        if reason is not None or self.unwritten:
            _log.warning(
                "%s could not be written to the record at %s (%s). No results were lost. Run the same command again to "
                "write them.",
                plural(self.unwritten, "trial") if self.unwritten else "the end of the sweep",
                redact(self._uri),
                (reason or "the store refused it").rstrip("."),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close("FINISHED")
        else:
            self.close("FAILED" if issubclass(kind, Exception) else "KILLED")

    @contextlib.contextmanager
    def _log_errors(self, consequence: str) -> Iterator[None]:
        try:
            with store_errors(self._uri):
                yield
        except RecordError as error:
            _log.warning("%s: %s", consequence, error)

    def _find_children(self) -> None:
        # `open_store` avoids MLflow's client if possible, which takes many seconds for ten thousand runs.
        store = open_store(self._runs)
        of_study = [run for run in store.runs({"study": self._study}) if self._may_belong_here(run.tags)]
        of_sweep = [
            run for run in store.runs({"sweep": self._sweep}, or_without="sweep") if self._may_belong_here(run.tags)
        ]
        self._unassigned = [
            run
            for run in of_sweep
            if (study := run.tags.get("study", "")) != self._study and not is_study_of(study, sweep=self._sweep)
        ]
        for run in of_study:
            found = parse_run(run)
            if isinstance(found, TrialRun):
                self._register(found)
            elif run.tags.get("kind") != "sweep":
                self._unassigned.append(run)

    def _assign_edited_runs(self, records: Iterable[TrialRecord]) -> None:
        """Assign runs with edited tags to their trials; invalid runs that new tags do not repair are replaced."""
        for run in self._unassigned:
            if run.tags.get("kind") == "sweep":
                continue
            found = parse_run(run)
            of_it = record_of(run, records)
            if of_it is None:
                continue
            if of_it.key not in self._children and (not isinstance(found, UnreadableRun) or found.is_tag):
                self._children[of_it.key] = ChildRun.of(run)
            elif isinstance(found, UnreadableRun):
                with self._log_errors(f"the invalid run {run.run_id} could not be replaced"):
                    self._replace(ChildRun.of(run), self._children.get(of_it.key) or self._create(of_it))
        self._unassigned = []

    def _may_belong_here(self, tags: Mapping[str, str]) -> bool:
        return uses_default_record(self._runs) or tags.get(OWNER) in (None, self._owner.get(OWNER))

    def _belongs_here(self, tags: Mapping[str, str]) -> bool:
        return uses_default_record(self._runs) or OWNER in tags or not self._owner

    def _end_abandoned_runs(self) -> None:
        """Set RUNNING runs of this sweep's other studies, left by a killed driver, to interrupted."""
        where = f"tags.kind = 'trial' and tags.sweep = {quoted(self._sweep)} and attributes.status = 'RUNNING'"
        for run in search_runs(self._client, self._experiment_id, where):
            if run.data.tags.get("study") != self._study:
                self._client.set_tag(run.info.run_id, "outcome", Outcome.INTERRUPTED.value)
                self._client.set_terminated(run.info.run_id, STATUS_OF[Outcome.INTERRUPTED])

    def _register(self, run: TrialRun) -> None:
        found = ChildRun.of(run)
        key = run.key
        other = self._children.setdefault(key, found)
        if other.run_id != found.run_id:
            # Two drivers wrote at once: the run with more metrics is kept.
            kept, dropped = sorted((found, other), key=lambda child: (-len(child.metrics), child.run_id))
            self._replace(dropped, kept)
            self._children[key] = kept

    def _replace(self, dropped: ChildRun, kept: ChildRun) -> None:
        """Delete one of a trial's two runs. Notes, tags and metrics that users added are copied to the other."""
        tags = {name: value for name, value in dropped.tags.items() if _is_user_tag(name)} | kept.tags
        note, there = dropped.tags.get(DESCRIPTION, ""), kept.tags.get(DESCRIPTION, "")
        if note not in there:
            tags[DESCRIPTION] = truncated(f"{there}\n\n{note}".strip(), MAX_TAG)
        points = [
            MetricPoint(name=name, value=point.value, step=point.step, timestamp_ms=point.timestamp)
            for name in sorted(dropped.metrics - METRICS)
            for point in self._client.get_metric_history(dropped.run_id, name)
        ]
        changed = {name: value for name, value in tags.items() if kept.tags.get(name) != value}
        log_batch(self._client, kept.run_id, metrics=points, tags=changed)
        kept.tags |= changed
        self._client.delete_run(dropped.run_id)

    def _write(self, record: TrialRecord) -> None:
        """Write a record's state to MLflow. Runs on the queue's thread."""
        from mlflow.exceptions import MlflowException

        try:
            child = self._children.get(record.key) or self._create(record)
            if child.written != record:
                self._update(child, record)
                points = self._progress.add(record)
                self._points += points if self._writes_progress else ()
            if self._points:
                log_batch(self._client, self._parent.run_id, metrics=self._points)
                self._points = []
        except MlflowException as error:
            if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                raise PermanentError(str(error)) from error
            raise

    def _create(self, record: TrialRecord) -> ChildRun:
        if record.key in self._uncertain:
            self._find_children()
            if found := self._children.get(record.key):
                return found
        # If the call fails, it is unknown whether the run was created.
        self._uncertain.add(record.key)
        # The key is written with the run, so that the next process finds it if this one is killed. The outcome is
        # written after the epochs.
        tags = self._environment | tags_of(record) | self._parent_tag()
        tags |= {"outcome": Outcome.RUNNING.value, "epochs_done": "0"}
        name, started = run_name(record), milliseconds(record.started)
        run = self._client.create_run(self._experiment_id, start_time=started, tags=tags, run_name=name)
        child = ChildRun(run_id=run.info.run_id, name=name, status="RUNNING", tags=tags)
        self._children[record.key] = child
        self._uncertain.discard(record.key)
        return child

    def _update(self, child: ChildRun, record: TrialRecord) -> None:
        """Write the changes: the outcome after the epochs, the status last, so that a complete run has all values."""
        from mlflow.exceptions import MlflowException

        if record.test is not None and record.test.count and child.lacks_test(record):
            try:
                self._log_correctness(child.run_id, record.test)
            except MlflowException:
                raise
            except Exception as error:  # artifact stores have no common base class of errors
                # Everything else of it is written. The next start tries again.
                self._update(child, replace(record, test=None))
                raise PermanentError(f"its predictions of the test images could not be stored: {error}") from error
        params = child.missing_params(record)
        # A run that an earlier start ended keeps that start's environment and files.
        is_earlier = child.written is None and child.was_ended(record)
        tags = child.changed_tags(record, defaults={} if is_earlier else self._environment) | self._parent_tag()
        filed = self._files_due(child, record, is_earlier=is_earlier)
        if filed is not None:
            tags[FILED] = NOT_YET
        tags = {name: value for name, value in tags.items() if child.tags.get(name) != value}
        log_batch(self._client, child.run_id, metrics=child.missing_metrics(record), params=params, tags=tags)
        child.params |= params.keys()
        child.tags |= tags
        for name in child.outdated_tags(record):
            self._client.delete_tag(child.run_id, name)
            del child.tags[name]
        self._set_status(child, record)
        child.written = record
        if filed is not None:
            self._log_files(child, record, filed)

    def _parent_tag(self) -> dict[str, str]:
        return {"mlflow.parentRunId": self._parent.run_id} | self._owner

    def _set_status(self, child: ChildRun, record: TrialRecord) -> None:
        name, status = run_name(record), STATUS_OF[record.outcome]
        if child.name != name:
            self._client.update_run(child.run_id, name=name)
            child.name = name
        if status != "RUNNING":
            ended = end_ms(record)
            if (child.status, child.end_ms) != (status, ended):
                self._client.set_terminated(child.run_id, status, end_time=ended)
                child.end_ms = ended
        elif child.status != status:
            self._client.update_run(child.run_id, status=status)
        child.status = status

    def _files_due(self, child: ChildRun, record: TrialRecord, *, is_earlier: bool) -> str | None:
        """Return the value of `FILED` if a trial's files have to be stored now; else None."""
        if is_earlier and child.tags.get(FILED) != NOT_YET:
            return None
        filed = files_outcome(record)
        return None if filed == child.tags.get(FILED) else filed

    def _log_files(self, child: ChildRun, record: TrialRecord, filed: str) -> None:
        """Store a trial's configuration, log and data set. They are optional: only the first failure is logged."""
        try:
            log_files(self._client, child.run_id, run_files(record, runs=self._runs))
            self._log_artifacts(child.run_id, record)
            if self._dataset is not None:
                parts = task_of(record.config).dataset_inputs(record.config)
                self._client.log_inputs(child.run_id, dataset_inputs(self._dataset.fingerprint, parts))
            self._client.set_tag(child.run_id, FILED, filed)
            child.tags[FILED] = filed
        except Exception as error:  # artifact stores have no common base class of errors
            if not self._files_failed:
                _log.warning("the configuration and the log of %s could not be stored: %s", child.name, error)
            self._files_failed = True

    def _log_artifacts(self, run_id: str, record: TrialRecord) -> None:
        if record.log is None or not task_of(record.config).logs_artifacts:
            return
        with (
            tempfile.TemporaryDirectory() as scratch,
            local_artifacts(record.log, runs=self._runs, scratch=Path(scratch)) as folder,
        ):
            if folder is not None:
                self._client.log_artifacts(run_id, str(folder))

    def _log_correctness(self, run_id: str, test: TestResult) -> None:
        correct = np.unpackbits(np.frombuffer(test.correct, np.uint8), count=test.count)
        content = io.BytesIO()
        np.save(content, correct.astype(bool))
        log_files(self._client, run_id, {CORRECT_FILE: content.getvalue()})


def _is_user_tag(tag: str) -> bool:
    """Return whether a tag may have been set by a user."""
    if tag in (DESCRIPTION, LABELS):
        return True
    return not (tag in (*TAGS, OWNER, FILED, LOGGED_MODEL) or tag.startswith("mlflow."))
