"""Another record taken over into this one, once: runs, curves, artifacts, each with where it came from.

A run is known again by the id that it has there (tag `imported_from`), so that asking twice doubles nothing. The tags
by which readers find it come last: one that a crash left half written is seen by nobody, and written anew next time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.errors import RecordError, SweepError
from sweeps.tracking.client import log_batch, store_errors
from sweeps.tracking.mapping import LOGGED_MODEL, MetricPoint
from sweeps.tracking.opening import open_to_write
from sweeps.tracking.parent_run import log_files
from sweeps.tracking.recorded_run import RecordedRun, open_store, store_at
from sweeps.tracking.store import is_absent, redact, store_uri
from sweeps.trial_record import Outcome

if TYPE_CHECKING:
    from mlflow import MlflowClient

IMPORTED_FROM = "imported_from"
"""Tag: the id that a run has in the record it was taken over from."""
IMPORTED_RECORD = "imported_record"
"""Tag: where that record was, without user and password."""

_PARENT = "mlflow.parentRunId"
_NAME = "mlflow.runName"
_NOT_TAKEN = {LOGGED_MODEL, "mlflow.log-model.history", _PARENT, _NAME, IMPORTED_FROM, IMPORTED_RECORD}
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
    running: int
    """Trials that somebody trains there just now: they are for the next time."""
    counted_here: int
    """Of those taken over now: results that were recorded here before, of the same key. They count once."""


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
        if uri == self._here_uri:
            raise SweepError(f"{redact(uri)} is the record in use here: name another one")
        if is_absent(uri):
            raise RecordError(f"there is no record at {redact(uri)}: name a runs folder, or a tracking server")
        self._there = store_at(uri)

    @cached_property
    def _found(self) -> list[RecordedRun]:
        """The runs there that are sweeps and trials."""
        return [run for run in self._there.runs({}) if run.tags.get("kind") in ("sweep", "trial")]

    def names(self, only: Sequence[str] = ()) -> dict[str, str]:
        """Return the sweeps that would be taken over, each with the name it has here.

        Raises:
            SweepError: one of `only` is not there, or a name is another sweep's here.
            RecordError: one of the records cannot be read.
        """
        there = sorted({run.tags["sweep"] for run in self._found if run.tags["kind"] == "trial"})
        if missing := [name for name in only if name not in there]:
            raise SweepError(
                f"there is no sweep {' or '.join(missing)} in {redact(self._uri)}: it has {', '.join(there) or 'none'}"
            )
        names = {name: f"{self._prefix}{name}" for name in (only or there)}
        ids = {run.run_id for run in self._found}
        others = {
            run.tags["sweep"]
            for run in open_store(self._runs).runs({})
            if "sweep" in run.tags and run.tags.get(IMPORTED_FROM) not in ids
        }
        if taken := sorted(name for name in names.values() if name in others):
            raise SweepError(
                f"{', '.join(taken)} {'is' if len(taken) == 1 else 'are'} recorded here already, from elsewhere: give "
                "what is taken over names of its own with --prefix, such as --prefix ada-"
            )
        return names

    def carry_out(
        self, names: Mapping[str, str], *, on_run: Callable[[int, int], None] = lambda done, total: None
    ) -> TakenOver:
        """Take the sweeps over that are not here yet, and what has changed of those that are.

        Args:
            names: from `names`.
            on_run: hears after each run how many of how many are done.

        Raises:
            RecordError: one of the records cannot be read, or the one here not written.
        """
        with store_errors(self._here_uri):
            client, experiment = open_to_write(self._here_uri, self._runs)
        here = open_store(self._runs).runs({})
        known = {run.tags[IMPORTED_FROM]: run for run in here if IMPORTED_FROM in run.tags}
        results = {result for run in here if IMPORTED_FROM not in run.tags and (result := _result(run)) is not None}
        wanted = [run for run in self._found if run.tags.get("sweep") in names]
        # A sweep's own run before its trials.
        wanted.sort(key=lambda run: (run.tags["kind"] != "sweep", run.start_ms, run.run_id))
        ids: dict[str, str] = {}
        counts = {"runs": 0, "known": 0, "running": 0, "counted_here": 0}
        for done, run in enumerate(wanted, start=1):
            is_trial = run.tags["kind"] == "trial"
            before = known.get(run.run_id)
            if is_trial and run.status == "RUNNING":
                counts["running"] += 1
            elif before is not None and _says_the_same(before, run):
                ids[run.run_id] = before.run_id
                counts["known"] += is_trial
            else:
                # A study has the name of its sweep in it: a start here must not take these trials for its own.
                changes = {"sweep": names[run.tags["sweep"]], "study": f"{self._prefix}{run.tags.get('study', '')}"}
                if parent := ids.get(run.tags.get(_PARENT, "")):
                    changes[_PARENT] = parent
                with store_errors(self._here_uri):
                    if before is not None and is_trial:
                        client.delete_run(before.run_id)
                    into = None if before is None or is_trial else before.run_id
                    ids[run.run_id] = self._write(client, experiment, run, changes, into=into)
                counts["runs"] += is_trial
                counts["counted_here"] += is_trial and _result(run) in results
            on_run(done, len(wanted))
        return TakenOver(sweeps=dict(names), **counts)

    def _write(
        self,
        client: MlflowClient,
        experiment: str,
        run: RecordedRun,
        changes: Mapping[str, str],
        *,
        into: str | None,
    ) -> str:
        """Write a run as it is there, with other values of some tags, into one of here or a new one; return its id."""
        run_id = into or self._create(client, experiment, run, sweep=changes["sweep"])
        points = list(self._there.history(run.run_id))
        told = {point.name for point in points}
        # A server gives the history of an epoch's metrics alone: of the others there is the newest value.
        ended = run.end_ms or run.start_ms
        points += [
            MetricPoint(name=metric, value=value, step=0, timestamp_ms=ended)
            for metric, value in run.metrics.items()
            if metric not in told
        ]
        if files := dict(self._there.files(run.run_id)):
            log_files(client, run_id, files)
        tags = {**{tag: value for tag, value in run.tags.items() if tag not in _NOT_TAKEN}, **changes}
        log_batch(client, run_id, metrics=points, params=run.params, tags=tags)
        client.set_terminated(run_id, "FINISHED" if run.status == "RUNNING" else run.status, end_time=run.end_ms)
        return run_id

    def _create(self, client: MlflowClient, experiment: str, run: RecordedRun, *, sweep: str) -> str:
        origin = {IMPORTED_FROM: run.run_id, IMPORTED_RECORD: redact(self._uri)}
        name = run.name.replace(run.tags["sweep"], sweep, 1)
        created = client.create_run(experiment, start_time=run.start_ms, tags=origin, run_name=name)
        return str(created.info.run_id)


def _result(run: RecordedRun) -> str | None:
    """Return the key of a complete run, None of any other."""
    return run.tags.get("key") if run.tags.get("outcome") == Outcome.COMPLETE else None


def _says_the_same(here: RecordedRun, there: RecordedRun) -> bool:
    """Return whether a run that was taken over is whole, and nothing has come of it there since."""
    if here.tags.get("kind") != there.tags["kind"]:
        return False
    if there.tags["kind"] == "sweep":
        return here.metrics == there.metrics and here.end_ms == there.end_ms
    told = all(here.tags.get(tag) == there.tags.get(tag) for tag in ("outcome", "epochs_done"))
    return told and ("test_accuracy" in here.metrics) == ("test_accuracy" in there.metrics)
