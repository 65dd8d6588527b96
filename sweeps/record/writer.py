"""The only module that writes MLflow: from the driver, on one thread, in batches, each thing once.

MLflow is the record that people read. The ledger stays the truth: whatever is missing here is written from it
at the next start, so that nothing in this module may end a sweep that is running.
"""

from __future__ import annotations

import contextlib
import io
import logging
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
from sweeps.record.parent_run import DESCRIPTION, ParentRun, RecordedStudy, log_files
from sweeps.record.queue import LatestQueue, PermanentError
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.run_files import FILED, NOT_YET, files_outcome, run_files
from sweeps.record.store import is_own, quoted, redact, store_uri
from sweeps.record.stores import open_store
from sweeps.record.sweep_progress import Aim, SweepProgress
from sweeps.record.system_metrics import SystemMetrics
from sweeps.record.trial_run import TrialRun, UnreadableRun, understand
from sweeps.record.waiting import patience_with
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
        aim: Aim | None = None,
        tells_progress: bool = True,
    ) -> None:
        """Create what is missing, find what a former process wrote, and set the sweep's run RUNNING.

        Args:
            study: whose trials these are.
            runs: the runs folder.
            environment: facts by name (host, git_sha, versions), of the sweep's own run and of its trials.
            description: of the sweep, in Markdown; None leaves what it says. See also `close`.
            files: texts that the sweep's own run holds as artifacts, by name: the sweep's file, a diff.
            dataset: that it is trained on; None leaves it unsaid.
            aim: what a search looks at; None where nothing is searched.
            tells_progress: whether the sweep's own run tells how many trials ended, and the best so far.

        Raises:
            RecordError: the store cannot be reached or written.
        """
        self._runs = runs
        self._sweep, self._study = study.sweep, study.name
        self._dataset = dataset
        self._environment = environment_tags(environment) | client_tags(environment, command=study.command)
        self._tells_progress = tells_progress
        self._owner = {} if study.owner is None else {OWNER: study.owner}
        self._uri = store_uri(runs)
        self._children: dict[str, ChildRun] = {}
        self._doubtful: set[str] = set()
        self._astray: list[RecordedRun] = []
        self._points: list[MetricPoint] = []
        self._system_metrics = SystemMetrics()
        self._is_closed = False
        self.unwritten = 0
        """Trials whose newest state could not be written when the tracker was closed."""
        patience_with(self._uri).begin_work()
        with store_errors(self._uri):
            self._client, self._experiment_id = open_to_write(self._uri, runs)
            self._parent = ParentRun.open(self._client, self._experiment_id, study)
            self._progress = SweepProgress(aim, written=self._parent.ended)
            self._parent.write(tags=self._environment, description=description)
            self._files_failed = not self._write_files(files or {})
            self._find_children()
            if is_own(runs):
                # Elsewhere, such as on a server, a driver of another runs folder may be training a sweep of this name.
                self._end_what_others_left()
            self._system_metrics.start(self._parent.run_id, uri=self._uri)
        self._queue = LatestQueue(self._write, name=f"record of {self._sweep}")

    def _write_files(self, files: Mapping[str, str]) -> bool:
        """Return whether the sweep's own run has its files and its data set now."""
        try:
            self._parent.write_files(files, dataset=self._dataset)
        except Exception as error:  # as in `_log_files`
            _log.warning("the sweep's own run lacks its files: %s", error)
            return False
        return True

    def write(self, record: TrialRecord) -> None:
        """Take the newest state of a trial, to be written soon. Returns at once, whatever the store does.

        After `close` it is left to the next start.
        """
        if not self._is_closed:
            self._queue.put(record.number, record)

    def flush(self, *, timeout: float = 30.0) -> bool:
        """Wait until all is written, at most `timeout` seconds, and return whether it is."""
        return self._queue.flush(timeout=timeout)

    def reconcile(self, records: Iterable[TrialRecord], *, timeout: float = 120.0) -> bool:
        """Write what the ledger holds and MLflow lacks; return whether that came within `timeout` seconds.

        Runs of this study that are RUNNING and that the ledger does not know are of a driver that died: they
        end as interrupted.
        """
        # In the order of their ends, which is that of the curve of the best so far.
        records = sorted(records, key=end_ms)
        self._find_astray(records)
        for record in records:
            self.write(record)
        done = self.flush(timeout=timeout)
        known = {record.key for record in records}
        for key, child in list(self._children.items()):
            if key not in known and child.status == "RUNNING" and self._is_surely_own(child.tags):
                with self._survive("a run that the ledger does not know stays RUNNING"):
                    self._client.set_tag(child.run_id, "outcome", Outcome.INTERRUPTED.value)
                    self._client.set_terminated(child.run_id, STATUS_OF[Outcome.INTERRUPTED])
                    child.tags["outcome"] = Outcome.INTERRUPTED.value
                    child.status = STATUS_OF[Outcome.INTERRUPTED]
        return done

    def close(
        self, status: Literal["FINISHED", "KILLED", "FAILED"] = "FINISHED", *, description: str | None = None
    ) -> None:
        """Write what is left and end the sweep's run, in `waiting.END_SECONDS` at most. See `unwritten` then.

        Args:
            status: how the sweep ended, in MLflow's words.
            description: what has come of it, in Markdown; None leaves what its run says.
        """
        if self._is_closed:
            return
        patience = patience_with(self._uri)
        self.unwritten = self._queue.close(timeout=patience.begin_end())
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
            patience.give_up()
        if reason is not None or self.unwritten:
            _log.warning(
                "%s could not be written to the record at %s (%s): nothing is lost, the next start writes it",
                plural(self.unwritten, "trial") if self.unwritten else "how the sweep ended",
                redact(self._uri),
                reason or "it was refused",
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
    def _survive(self, consequence: str) -> Iterator[None]:
        try:
            with store_errors(self._uri):
                yield
        except RecordError as error:
            _log.warning("%s: %s", consequence, error)

    def _find_children(self) -> None:
        # Of this study alone: the runs of another one of this name stay as they are. Not through MLflow's client where
        # that is not needed: ten thousand runs would be pages of many seconds each.
        store = open_store(self._runs)
        of_study = [run for run in store.runs({"study": self._study}) if self._may_be_own(run.tags)]
        of_sweep = [run for run in store.runs({"sweep": self._sweep}, or_without="sweep") if self._may_be_own(run.tags)]
        self._astray = [
            run
            for run in of_sweep
            if (study := run.tags.get("study", "")) != self._study and not is_study_of(study, sweep=self._sweep)
        ]
        for run in of_study:
            found = understand(run)
            if isinstance(found, TrialRun):
                self._adopt(found)
            elif run.tags.get("kind") != "sweep":
                self._astray.append(run)

    def _find_astray(self, records: Iterable[TrialRecord]) -> None:
        """Give the runs whose tags were edited back to their trials; what tags do not mend is written anew."""
        for run in self._astray:
            if run.tags.get("kind") == "sweep":
                continue
            found = understand(run)
            of_it = record_of(run, records)
            if of_it is None:
                continue
            if of_it.key not in self._children and (not isinstance(found, UnreadableRun) or found.is_of_a_tag):
                self._children[of_it.key] = ChildRun.of(run)
            elif isinstance(found, UnreadableRun):
                with self._survive(f"run {run.run_id}, which cannot be read, stays"):
                    self._replace(ChildRun.of(run), self._children.get(of_it.key) or self._create(of_it))
        self._astray = []

    def _may_be_own(self, tags: Mapping[str, str]) -> bool:
        return is_own(self._runs) or tags.get(OWNER) in (None, self._owner.get(OWNER))

    def _is_surely_own(self, tags: Mapping[str, str]) -> bool:
        return is_own(self._runs) or OWNER in tags or not self._owner

    def _end_what_others_left(self) -> None:
        """End the runs of this sweep's other studies that a killed driver left RUNNING: nobody else will."""
        where = f"tags.kind = 'trial' and tags.sweep = {quoted(self._sweep)} and attributes.status = 'RUNNING'"
        for run in search_runs(self._client, self._experiment_id, where):
            if run.data.tags.get("study") != self._study:
                self._client.set_tag(run.info.run_id, "outcome", Outcome.INTERRUPTED.value)
                self._client.set_terminated(run.info.run_id, STATUS_OF[Outcome.INTERRUPTED])

    def _adopt(self, run: TrialRun) -> None:
        found = ChildRun.of(run)
        key = run.key
        other = self._children.setdefault(key, found)
        if other.run_id != found.run_id:
            # Two drivers at once: the run that holds more stays.
            kept, dropped = sorted((found, other), key=lambda child: (-len(child.metrics), child.run_id))
            self._replace(dropped, kept)
            self._children[key] = kept

    def _replace(self, dropped: ChildRun, kept: ChildRun) -> None:
        """Delete one of a trial's two runs. What people wrote there, a note, tags or metrics, is on the other then."""
        tags = {name: value for name, value in dropped.tags.items() if _is_of_a_person(name)} | kept.tags
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
        """Bring MLflow to a record's state. Runs on the queue's thread."""
        from mlflow.exceptions import MlflowException

        try:
            child = self._children.get(record.key) or self._create(record)
            if child.written != record:
                self._update(child, record)
                points = self._progress.take(record)
                self._points += points if self._tells_progress else ()
            if self._points:
                log_batch(self._client, self._parent.run_id, metrics=self._points)
                self._points = []
        except MlflowException as error:
            if error.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                raise PermanentError(str(error)) from error
            raise

    def _create(self, record: TrialRecord) -> ChildRun:
        if record.key in self._doubtful:
            self._find_children()
            if found := self._children.get(record.key):
                return found
        # Until the store answers nobody knows whether the run is there.
        self._doubtful.add(record.key)
        # The key comes with the run itself: if this process dies now, the next one finds the run by it. The
        # outcome must wait until the epochs are written.
        tags = self._environment | tags_of(record) | self._parent_tag()
        tags |= {"outcome": Outcome.RUNNING.value, "epochs_done": "0"}
        name, started = run_name(record), milliseconds(record.started)
        run = self._client.create_run(self._experiment_id, start_time=started, tags=tags, run_name=name)
        child = ChildRun(run_id=run.info.run_id, name=name, status="RUNNING", tags=tags)
        self._children[record.key] = child
        self._doubtful.discard(record.key)
        return child

    def _update(self, child: ChildRun, record: TrialRecord) -> None:
        """Write what is new: the outcome after the epochs, the status last, so that `complete` is true."""
        from mlflow.exceptions import MlflowException

        if record.test is not None and child.lacks_test(record):
            try:
                self._log_correctness(child.run_id, record.test)
            except MlflowException:
                raise
            except Exception as error:  # of an artifact store, whichever it is
                # All else of it is written, and all others: the next start tries again.
                self._update(child, replace(record, test=None))
                raise PermanentError(f"its answers on the test images cannot be written: {error}") from error
        params = child.missing_params(record)
        # What an earlier start ended was not trained under this one's versions, and its files were stored then.
        is_earlier = child.written is None and child.was_ended(record)
        tags = child.changed_tags(record, defaults={} if is_earlier else self._environment) | self._parent_tag()
        filed = self._to_file(child, record, is_earlier=is_earlier)
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

    def _to_file(self, child: ChildRun, record: TrialRecord, *, is_earlier: bool) -> str | None:
        """Return the outcome at which a trial's files are to be stored now, None where there is nothing to store."""
        if is_earlier and child.tags.get(FILED) != NOT_YET:
            return None
        filed = files_outcome(record)
        return None if filed == child.tags.get(FILED) else filed

    def _log_files(self, child: ChildRun, record: TrialRecord, filed: str) -> None:
        """Store a trial's configuration and log, and name its data set. Nothing needs them: a failure is told once."""
        try:
            log_files(self._client, child.run_id, run_files(record, runs=self._runs))
            if self._dataset is not None:
                parts = task_of(record.config).dataset_inputs(record.config)
                self._client.log_inputs(child.run_id, dataset_inputs(self._dataset.fingerprint, parts))
            self._client.set_tag(child.run_id, FILED, filed)
            child.tags[FILED] = filed
        except Exception as error:  # of an artifact store, whichever it is, that this machine cannot use
            if not self._files_failed:
                _log.warning("%s has no configuration and no log among its artifacts: %s", child.name, error)
            self._files_failed = True

    def _log_correctness(self, run_id: str, test: TestResult) -> None:
        correct = np.unpackbits(np.frombuffer(test.correct, np.uint8), count=test.count)
        content = io.BytesIO()
        np.save(content, correct.astype(bool))
        log_files(self._client, run_id, {CORRECT_FILE: content.getvalue()})


def _is_of_a_person(tag: str) -> bool:
    """Return whether a tag may be a person's; those of the environment are written anew."""
    return tag == DESCRIPTION or not (tag in (*TAGS, OWNER, FILED, LOGGED_MODEL) or tag.startswith("mlflow."))
