"""Import of another record: runs, curves and artifacts.

The tag `imported_from` contains the id of the original run, so that a second import creates no duplicates. The tags by
which readers find a run are written last: a run left incomplete by a crash is ignored, and written again by the next
import. Runs that have changed here since their import are not updated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.core.errors import RecordError, SweepError
from sweeps.core.formatting import truncated
from sweeps.core.trial import Outcome
from sweeps.record.client import log_batch, store_errors
from sweeps.record.mapping import DESCRIPTION, LOGGED_MODEL, MAX_TAG, note_of
from sweeps.record.opening import open_to_write
from sweeps.record.ownership import OWNER, owner_of_folder
from sweeps.record.parent_run import log_files
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.store import is_absent, redact, sqlite_file, store_uri
from sweeps.record.stores import open_store, store_at
from sweeps.record.trial_run import TrialRun, parse_runs, require_format

if TYPE_CHECKING:
    from mlflow import MlflowClient

IMPORTED_FROM = "imported_from"
"""Tag: id of the run in the original record."""
IMPORTED_RECORD = "imported_record"
"""Tag: URI of the original record, without user and password."""
IMPORTED_STATE = "imported_state"
"""Tag: state of the run at its import. A run in another state has changed here."""

_PARENT = "mlflow.parentRunId"
_OURS = {IMPORTED_FROM, IMPORTED_RECORD, IMPORTED_STATE, OWNER}
_NOT_TAKEN = {LOGGED_MODEL, "mlflow.log-model.history", _PARENT, "mlflow.runName", *_OURS}
"""Tags that are not imported, since they refer to objects of the other record."""


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """Result of an import."""

    sweeps: Mapping[str, str]
    """Name of each sweep there → name here."""
    runs: int
    """Number of imported trials."""
    known: int
    """Trials that were imported before."""
    changed_here: int
    """Trials that were imported before and have changed here since. They are not updated."""
    running: int
    """Trials that are running there. They are not imported."""
    counted_here: int
    """Imported results whose key was already recorded here. They count once."""
    unreadable: int
    """Invalid runs. They are not imported."""


class RecordImport:
    """Import of one record into the record in use."""

    def __init__(self, uri: str, *, runs: Path, prefix: str = "") -> None:
        """Open the other record.

        Args:
            uri: MLflow's URI of the other record.
            runs: The runs folder here.
            prefix: Prefix for the names of the imported sweeps.

        Raises:
            RecordError: The record does not exist or cannot be read.
            SweepError: It is the record in use.
        """
        self._uri = uri
        self._runs = runs
        self._prefix = prefix
        self._here_uri = store_uri(runs)
        if _location(uri) == _location(self._here_uri):
            raise SweepError(f"{redact(uri)} is the record in use. Name another one.")
        if is_absent(uri):
            raise RecordError(f"there is no record at {redact(uri)}. Name a runs folder or a tracking server.")
        self._there = store_at(uri)

    @cached_property
    def _found(self) -> tuple[list[RecordedRun], list[TrialRun], int]:
        """The parent runs there, the trials, and the number of invalid runs."""
        runs = self._there.runs({})
        parents = [run for run in runs if run.tags.get("kind") == "sweep" and "sweep" in run.tags]
        trials, unreadable = parse_runs(runs)
        require_format(trials, unreadable)
        return parents, trials, len(unreadable)

    def names(self, only: Sequence[str] = (), *, check: Callable[[str], str] = str) -> dict[str, str]:
        """Return name there → name here of the sweeps to import.

        Args:
            only: Names of the sweeps; empty for all.
            check: Raises a `ValueError` if a name is invalid for a folder.

        Raises:
            SweepError: One of `only` does not exist, a name is invalid, or it is used by another sweep here.
            RecordError: One of the records cannot be read.
        """
        _, trials, _ = self._found
        there = sorted({run.tags["sweep"] for run in trials})
        if missing := [name for name in only if name not in there]:
            raise SweepError(
                f"there is no sweep {' or '.join(missing)} in {redact(self._uri)}. Name one of: "
                f"{', '.join(there) or 'none'}"
            )
        names = {name: f"{self._prefix}{name}" for name in (only or there)}
        for name in (*names, *names.values()):
            try:
                check(name)
            except ValueError as error:
                raise SweepError(f"a sweep of {redact(self._uri)} cannot be imported: {error}") from None
        self._check_names(names)
        return names

    def _check_names(self, names: Mapping[str, str]) -> None:
        ids = {run.run_id: run.tags["sweep"] for run in self._found[1]}
        here = [run for run in open_store(self._runs).runs({}) if "sweep" in run.tags]
        for run in here:
            origin = ids.get(run.tags.get(IMPORTED_FROM, ""))
            if origin is not None and origin in names and run.tags["sweep"] != names[origin]:
                before = run.tags["sweep"].removesuffix(origin)
                advice = f"Use --prefix {before}" if before else "Leave out --prefix"
                raise SweepError(f"{origin} was imported before as {run.tags['sweep']}. {advice}")
        imported = {
            run.tags["sweep"]
            for run in here
            if run.tags.get(IMPORTED_FROM) in ids or run.tags.get(IMPORTED_RECORD) == redact(self._uri)
        }
        recorded = {run.tags["sweep"] for run in here}
        if taken := sorted(name for name in names.values() if name in recorded - imported):
            raise SweepError(
                f"{', '.join(taken)} {'is' if len(taken) == 1 else 'are'} already recorded here. To import under other "
                "names, add --prefix, such as --prefix ada-"
            )

    def run(
        self,
        names: Mapping[str, str],
        *,
        ended: Collection[str] = (),
        on_run: Callable[[int, int], None] = lambda done, total: None,
    ) -> ImportResult:
        """Import new sweeps, and what has changed there in imported ones.

        Call it while holding the locks of the sweeps here.

        Args:
            names: Result of `names`.
            ended: Sweeps there without a driver: their RUNNING trials are interrupted ones.
            on_run: Called after each trial with the number of processed and of all trials.

        Raises:
            RecordError: One of the records cannot be read, or the one here cannot be written.
        """
        with store_errors(self._here_uri):
            client, experiment = open_to_write(self._here_uri, self._runs)
        here = open_store(self._runs).runs({})
        known = {run.tags[IMPORTED_FROM]: run for run in here if IMPORTED_FROM in run.tags}
        results = {result for run in here if IMPORTED_FROM not in run.tags and (result := _result(run)) is not None}
        parents, trials, unreadable = self._found
        selected = [run for run in trials if run.tags["sweep"] in names]
        write = _Writer(self, client, experiment, names)
        ids: dict[str, str] = {}
        for parent in (run for run in parents if run.tags["sweep"] in names):
            before = known.get(parent.run_id)
            if before is not None and "kind" in before.tags:
                ids[parent.run_id] = before.run_id  # kept, since the sweep may have been resumed here
            else:
                ids[parent.run_id] = write(parent, before, status=_ended(parent))
        counts = dict.fromkeys(("runs", "known", "changed_here", "running", "counted_here"), 0)
        for done, run in enumerate(selected, start=1):
            before = known.get(run.run_id)
            is_lost = run.status == "RUNNING" and run.tags["sweep"] in ended
            status = "KILLED" if is_lost else run.status
            changes = {"outcome": Outcome.INTERRUPTED.value} if is_lost else {}
            taken = None if before is None or "kind" not in before.tags else before.tags.get(IMPORTED_STATE)
            if before is not None and taken is not None and taken != _state(before.status, before.tags, before):
                counts["changed_here"] += 1
            elif run.status == "RUNNING" and not is_lost:
                counts["running"] += 1
            elif taken is not None and taken == _state(status, {**run.tags, **changes}, run):
                counts["known"] += 1
            else:
                if parent_id := ids.get(run.tags.get(_PARENT, "")):
                    changes[_PARENT] = parent_id
                write(run, before, status=status, **changes)
                counts["runs"] += 1
                counts["counted_here"] += _result(run) in results
            on_run(done, len(selected))
        return ImportResult(sweeps=dict(names), unreadable=unreadable, **counts)


class _Writer:
    """Writes runs of the other record to the record here."""

    def __init__(self, of: RecordImport, client: MlflowClient, experiment: str, names: Mapping[str, str]) -> None:
        self._of = of
        self._client = client
        self._experiment = experiment
        self._names = names
        # Other ids than there, where the original sweep may be resumed.
        self._owners = {here: owner_of_folder(of._runs, here) for here in names.values()}

    def __call__(self, run: RecordedRun, before: RecordedRun | None, *, status: str, **changes: str) -> str:
        """Write a copy of a run; return its id here.

        Args:
            run: Run of the other record.
            before: Earlier import of it, which is deleted.
            status: Status here.
            changes: Tags with another value here.
        """
        there, here = run.tags["sweep"], self._names[run.tags["sweep"]]
        # Read first: if the other store fails, the earlier import is kept.
        points = list(self._of._there.history(run.run_id, names=tuple(run.metrics)))
        files = self._of._there.files(run.run_id)
        tags = {tag: value for tag, value in run.tags.items() if tag not in _NOT_TAKEN}
        # Renamed with the sweep, so that a sweep here does not adopt these trials.
        tags |= {"sweep": here, "study": f"{self._of._prefix}{run.tags.get('study', '')}", **changes}
        tags[OWNER] = self._owners[here]
        if "log" in tags:
            tags["log"] = tags["log"].replace(f"sweeps/{there}/", f"sweeps/{here}/", 1)
        name = run.name
        if "rung" not in run.tags and name.startswith(there):
            name = here + name.removeprefix(there)
        if before is not None and (note := _note_here(before)):
            text = tags.get(DESCRIPTION, "")
            tags[DESCRIPTION] = truncated(text if note in text else f"{note}\n\n{text}".rstrip(), MAX_TAG)
        kind = tags.pop("kind")
        with store_errors(self._of._here_uri):
            if before is not None:
                self._client.delete_run(before.run_id)
            origin = {IMPORTED_FROM: run.run_id, IMPORTED_RECORD: redact(self._of._uri)}
            created = self._client.create_run(self._experiment, start_time=run.start_ms, tags=origin, run_name=name)
            run_id = str(created.info.run_id)
            log_files(self._client, run_id, files)
            log_batch(self._client, run_id, metrics=points, params=run.params, tags=tags)
            end_ms = run.end_ms or max((point.timestamp_ms for point in points), default=run.start_ms)
            self._client.set_terminated(run_id, status, end_time=end_ms)
            # The kind last: readers ignore a run without it.
            log_batch(self._client, run_id, tags={IMPORTED_STATE: _state(status, tags, run)})
            log_batch(self._client, run_id, tags={"kind": kind})
        return run_id


def _location(uri: str) -> str:
    """Return a store's URI in a normalized form."""
    path = sqlite_file(uri)
    return uri.rstrip("/") if path is None else str(path.resolve())


def _note_here(run: RecordedRun) -> str:
    """Return the note that a user has added here to the description of an imported run."""
    return note_of(run.tags) or ""


def _state(status: str, tags: Mapping[str, str], run: RecordedRun) -> str:
    """Return the state of a run, which changes when it is resumed."""
    tested = "tested" if "test_accuracy" in run.metrics else "not tested"
    return f"{status}, {tags.get('outcome')}, {tags.get('epochs_done')} epochs, {tested}"


def _ended(parent: RecordedRun) -> str:
    """Return the status of an imported parent run, which has no driver here."""
    return "KILLED" if parent.status == "RUNNING" else parent.status


def _result(run: RecordedRun) -> str | None:
    """Return the key of a complete run; None for any other."""
    return run.tags.get("key") if run.tags.get("outcome") == Outcome.COMPLETE else None
