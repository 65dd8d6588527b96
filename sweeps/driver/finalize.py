"""Measure the confirmed best configurations of a search on the test set, and log the access."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sweeps.analysis.ranking import confirming_keys
from sweeps.core.errors import SweepError
from sweeps.core.trial import TrialRecord
from sweeps.record.ownership import OWNER
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.reader import MlflowReader
from sweeps.record.writer import Tracker
from sweeps.search.opening import is_ladder_study, open_replicates, read_studies
from sweeps.search.stored_trials import name_in_record, read_records, store_test
from sweeps.store.access_log import record_access
from sweeps.store.checkpoints import SweepCheckpoints
from sweeps.store.folder import SweepFolder
from sweeps.store.kept_code import require_same_code
from sweeps.tasks.registry import task_of
from sweeps.worker.measure import fetch_weights, measure_on_test


@dataclass(frozen=True, kw_only=True)
class Finalized:
    """Test results of one configuration."""

    records: tuple[TrialRecord, ...]
    """Its replicates, each with a test result."""


def finalize(
    runs: Path, sweep: str, *, top: int = 1, on_measure: Callable[[TrialRecord], None] = lambda record: None
) -> tuple[list[Finalized], int]:
    """Return the test results of the best confirmed configurations of a search, and the number of new measurements.

    A run is measured once. Each access to the test set is logged before the images are opened.

    Args:
        runs: the runs folder.
        sweep: name of a search.
        top: number of best configurations.
        on_measure: called with each run before it is measured.

    Raises:
        NoSuchSweepError: there is no such sweep.
        SweepError: no configuration is confirmed, or weights are missing.
        RecordError: the record cannot be read or written.
    """
    folder = SweepFolder(runs.resolve(), sweep)
    read_studies(folder)  # before locking, which would create the folder of a missing sweep
    with folder.locked(doing="finalized"):
        reader = MlflowReader(folder.runs)
        chosen = confirming_keys(reader.runs(sweep=sweep), top=top)
        studies = read_studies(folder)
        study = studies.replicates
        if is_ladder_study(studies.search):
            raise SweepError(
                f"{sweep} is a ladder. Run `sweeps ladder FILE` to evaluate its rungs on the test images, with "
                "--final if the file has `evaluate: validation`."
            )
        records = {} if study is None else {record.key: record for record in read_records(study, sweep=sweep)}
        groups = [[records[key] for key in keys if key in records] for keys in chosen]
        if study is None or not any(groups):
            raise SweepError(
                f"no configuration of {sweep} is confirmed. Run `sweeps replicate {sweep}` first: the test set is only "
                "opened for confirmed configurations."
            )
        untested = [record for group in groups for record in group if record.test is None]
        if untested:
            measured = _measure(folder, untested, on_measure=on_measure)
            records |= {record.key: record for record in measured}
        # This also writes results that an earlier call measured and could not write.
        if not reader.holds(records.values(), study=name_in_record(study)):
            _record(folder, records, study=name_in_record(study), owner=study.user_attrs.get(OWNER))
    done = [Finalized(records=tuple(records[record.key] for record in group)) for group in groups]
    return done, len(untested)


def _measure(
    folder: SweepFolder, untested: Sequence[TrialRecord], *, on_measure: Callable[[TrialRecord], None]
) -> list[TrialRecord]:
    checkpoints = SweepCheckpoints(folder)
    task = task_of(untested[0].config)
    if (fault := task.test_fault(untested[0].config)) is not None:
        raise SweepError(f"{folder.sweep} cannot be evaluated on a test part: {fault}.")
    for record in untested:
        run = f"{folder.sweep}, {record.name}"
        require_same_code(record.config, record.source, run=run, sweep=folder.path, trains=False)
        if not fetch_weights(task, record.key, runs=folder.runs, to=checkpoints):
            raise SweepError(
                f"the weights of {record.name} of {folder.sweep} are missing. The test set was not opened. Delete the "
                f"sweep with its replicates (`sweeps rm {folder.sweep}`) and train it again."
            )
    record_access(folder.runs, sweep=folder.sweep, keys=[record.key for record in untested])
    study = open_replicates(folder)
    measured: list[TrialRecord] = []
    for record in untested:
        folder.publish(measured=len(measured), to_measure=len(untested))
        on_measure(record)
        file = checkpoints.file(record.key)
        assert file is not None, "copied above"
        test = measure_on_test(task, file, config=record.config)
        store_test(study, record.number, test)
        measured.append(replace(record, test=test))
    return measured


def _record(folder: SweepFolder, records: dict[str, TrialRecord], *, study: str, owner: str | None) -> None:
    name = f"{folder.sweep} replicates"
    recorded = RecordedStudy(sweep=folder.sweep, name=study, title=name, owner=owner)
    # Without commit and versions of this process, which trains nothing.
    with Tracker(recorded, runs=folder.runs, environment={}) as tracker:
        tracker.reconcile(records.values())
