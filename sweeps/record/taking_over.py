"""Another record taken over into this one, once: runs, curves, artifacts, each with where it came from.

A run is known again by the id that it has there (tag `imported_from`), so that asking twice doubles nothing. The tags
by which readers find it come last: one that a crash left half written is seen by nobody, and written anew next time.
What has gone on here since is never touched.
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
from sweeps.record.mapping import LOGGED_MODEL, MAX_TAG
from sweeps.record.opening import open_to_write
from sweeps.record.ownership import OWNER, owner_of_folder
from sweeps.record.parent_run import DESCRIPTION, SAID, log_files
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.store import is_absent, redact, sqlite_file, store_uri
from sweeps.record.stores import open_store, store_at
from sweeps.record.trial_run import TrialRun, require_format, sorted_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient

IMPORTED_FROM = "imported_from"
"""Tag: the id that a run has in the record it was taken over from."""
IMPORTED_RECORD = "imported_record"
"""Tag: where that record was, without user and password."""
IMPORTED_STATE = "imported_state"
"""Tag: how the run stood when it was taken over. One that stands otherwise has gone on here."""

_PARENT = "mlflow.parentRunId"
_OURS = {IMPORTED_FROM, IMPORTED_RECORD, IMPORTED_STATE, OWNER}
_NOT_TAKEN = {LOGGED_MODEL, "mlflow.log-model.history", _PARENT, "mlflow.runName", *_OURS}
"""Tags that mean nothing elsewhere, or something else: a model that stays behind, the id of a run there, its name."""


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """What came of taking a record over."""

    sweeps: Mapping[str, str]
    """Of each sweep: its name there, and here."""
    runs: int
    """Trials that were taken over now."""
    known: int
    """Trials that were here before."""
    gone_on: int
    """Trials that were taken over before and have gone on here since: they are left as they are."""
    running: int
    """Trials that somebody trains there just now: they are for the next time."""
    counted_here: int
    """Of those taken over now: results that were recorded here before, of the same key. They count once."""
    unreadable: int
    """Runs that are no trials as this project writes them."""


class TakeOver:
    """One record that is taken over into the one in use."""

    def __init__(self, uri: str, *, runs: Path, prefix: str = "") -> None:
        """Write nothing yet.

        Args:
            uri: of the other record, as MLflow has it.
            runs: the runs folder here.
            prefix: put in front of each sweep's name.

        Raises:
            RecordError: there is no record, or it cannot be read.
            SweepError: it is the one in use.
        """
        self._uri = uri
        self._runs = runs
        self._prefix = prefix
        self._here_uri = store_uri(runs)
        if _location(uri) == _location(self._here_uri):
            raise SweepError(f"{redact(uri)} is the record in use here: name another one")
        if is_absent(uri):
            raise RecordError(f"there is no record at {redact(uri)}: name a runs folder, or a tracking server")
        self._there = store_at(uri)

    @cached_property
    def _found(self) -> tuple[list[RecordedRun], list[TrialRun], int]:
        """The sweeps' own runs there, the trials, and how many runs are neither and say that they are."""
        runs = self._there.runs({})
        parents = [run for run in runs if run.tags.get("kind") == "sweep" and "sweep" in run.tags]
        trials, unreadable = sorted_runs(runs)
        require_format(trials, unreadable)
        return parents, trials, len(unreadable)

    def names(self, only: Sequence[str] = (), *, check: Callable[[str], str] = str) -> dict[str, str]:
        """Return the sweeps that would be taken over, each with the name it has here.

        Args:
            only: these; all where empty.
            check: returns a name if a folder can be called so, or raises a `ValueError`.

        Raises:
            SweepError: one of `only` is not there, has no name for a folder, or its name is another sweep's here.
            RecordError: one of the records cannot be read.
        """
        _, trials, _ = self._found
        there = sorted({run.tags["sweep"] for run in trials})
        if missing := [name for name in only if name not in there]:
            raise SweepError(
                f"there is no sweep {' or '.join(missing)} in {redact(self._uri)}: it has {', '.join(there) or 'none'}"
            )
        names = {name: f"{self._prefix}{name}" for name in (only or there)}
        for name in (*names, *names.values()):
            try:
                check(name)
            except ValueError as error:
                raise SweepError(f"a sweep of {redact(self._uri)} cannot be taken over: {error}") from None
        self._check_names(names)
        return names

    def _check_names(self, names: Mapping[str, str]) -> None:
        ids = {run.run_id: run.tags["sweep"] for run in self._found[1]}
        here = [run for run in open_store(self._runs).runs({}) if "sweep" in run.tags]
        for run in here:
            origin = ids.get(run.tags.get(IMPORTED_FROM, ""))
            if origin is not None and origin in names and run.tags["sweep"] != names[origin]:
                before = run.tags["sweep"].removesuffix(origin)
                advice = f"give --prefix {before}" if before else "leave out --prefix"
                raise SweepError(f"{origin} was taken over before, as {run.tags['sweep']}: {advice}")
        of_theirs = {
            run.tags["sweep"]
            for run in here
            if run.tags.get(IMPORTED_FROM) in ids or run.tags.get(IMPORTED_RECORD) == redact(self._uri)
        }
        recorded = {run.tags["sweep"] for run in here}
        if taken := sorted(name for name in names.values() if name in recorded - of_theirs):
            raise SweepError(
                f"{', '.join(taken)} {'is' if len(taken) == 1 else 'are'} recorded here already, from elsewhere: give "
                "what is taken over names of its own with --prefix, such as --prefix ada-"
            )

    def carry_out(
        self,
        names: Mapping[str, str],
        *,
        ended: Collection[str] = (),
        on_run: Callable[[int, int], None] = lambda done, total: None,
    ) -> TakenOver:
        """Take the sweeps over that are not here yet, and what has come to those that are.

        To be called under the locks of the sweeps here.

        Args:
            names: from `names`.
            ended: sweeps there that nobody runs: their trials that are RUNNING are of a driver that died.
            on_run: hears after each trial how many of how many are done.

        Raises:
            RecordError: one of the records cannot be read, or the one here not written.
        """
        with store_errors(self._here_uri):
            client, experiment = open_to_write(self._here_uri, self._runs)
        here = open_store(self._runs).runs({})
        known = {run.tags[IMPORTED_FROM]: run for run in here if IMPORTED_FROM in run.tags}
        results = {result for run in here if IMPORTED_FROM not in run.tags and (result := _result(run)) is not None}
        parents, trials, unreadable = self._found
        wanted = [run for run in trials if run.tags["sweep"] in names]
        write = _Writer(self, client, experiment, names)
        ids: dict[str, str] = {}
        for parent in (run for run in parents if run.tags["sweep"] in names):
            before = known.get(parent.run_id)
            if before is not None and "kind" in before.tags:
                ids[parent.run_id] = before.run_id  # it tells of what goes on here, too
            else:
                ids[parent.run_id] = write(parent, before, status=_ended(parent))
        counts = dict.fromkeys(("runs", "known", "gone_on", "running", "counted_here"), 0)
        for done, run in enumerate(wanted, start=1):
            before = known.get(run.run_id)
            is_lost = run.status == "RUNNING" and run.tags["sweep"] in ended
            status = "KILLED" if is_lost else run.status
            changes = {"outcome": Outcome.INTERRUPTED.value} if is_lost else {}
            taken = None if before is None or "kind" not in before.tags else before.tags.get(IMPORTED_STATE)
            if before is not None and taken is not None and taken != _state(before.status, before.tags, before):
                counts["gone_on"] += 1
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
            on_run(done, len(wanted))
        return TakenOver(sweeps=dict(names), unreadable=unreadable, **counts)


class _Writer:
    """Writes runs of the other record into the one here."""

    def __init__(self, of: TakeOver, client: MlflowClient, experiment: str, names: Mapping[str, str]) -> None:
        self._of = of
        self._client = client
        self._experiment = experiment
        self._names = names
        # Another than there, where the sweep may be resumed by itself.
        self._owners = {here: owner_of_folder(of._runs, here) for here in names.values()}

    def __call__(self, run: RecordedRun, before: RecordedRun | None, *, status: str, **changes: str) -> str:
        """Write a run as it is there; return its id here.

        Args:
            run: of the other record.
            before: what was taken over of it earlier, which goes.
            status: that it has here.
            changes: tags that have another value here.
        """
        there, here = run.tags["sweep"], self._names[run.tags["sweep"]]
        # Read before anything is written: a store that goes away leaves what was there.
        points = list(self._of._there.history(run.run_id, names=tuple(run.metrics)))
        files = self._of._there.files(run.run_id)
        tags = {tag: value for tag, value in run.tags.items() if tag not in _NOT_TAKEN}
        # A study has the name of its sweep in it: a start here must not take these trials for its own.
        tags |= {"sweep": here, "study": f"{self._of._prefix}{run.tags.get('study', '')}", **changes}
        tags[OWNER] = self._owners[here]
        if "log" in tags:
            tags["log"] = tags["log"].replace(f"sweeps/{there}/", f"sweeps/{here}/", 1)
        name = run.name
        if "rung" not in run.tags and name.startswith(there):
            name = here + name.removeprefix(there)
        if before is not None and (note := _note_here(before)):
            said = tags.get(DESCRIPTION, "")
            tags[DESCRIPTION] = truncated(said if note in said else f"{note}\n\n{said}".rstrip(), MAX_TAG)
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
            # The kind last: without it nobody reads the run.
            log_batch(self._client, run_id, tags={IMPORTED_STATE: _state(status, tags, run)})
            log_batch(self._client, run_id, tags={"kind": kind})
        return run_id


def _location(uri: str) -> str:
    """Return a store's address in one form."""
    path = sqlite_file(uri)
    return uri.rstrip("/") if path is None else str(path.resolve())


def _note_here(run: RecordedRun) -> str:
    """Return what a person has written here in the description of a run that was taken over."""
    return run.tags.get(DESCRIPTION, "").replace(run.tags.get(SAID, ""), "").strip()


def _state(status: str, tags: Mapping[str, str], run: RecordedRun) -> str:
    """Return how a run stands: what changes when it goes on."""
    tested = "tested" if "test_accuracy" in run.metrics else "not tested"
    return f"{status}, {tags.get('outcome')}, {tags.get('epochs_done')} epochs, {tested}"


def _ended(parent: RecordedRun) -> str:
    """Return the status that a sweep's own run has here: nobody runs it here."""
    return "KILLED" if parent.status == "RUNNING" else parent.status


def _result(run: RecordedRun) -> str | None:
    """Return the key of a complete run, None of any other."""
    return run.tags.get("key") if run.tags.get("outcome") == Outcome.COMPLETE else None
