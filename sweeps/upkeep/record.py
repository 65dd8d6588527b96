"""Checks of the record in MLflow: availability, open runs, and differences from the journals."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sweeps.core.errors import SweepBusyError, SweepError
from sweeps.core.formatting import plural
from sweeps.core.identity import is_replicate_study
from sweeps.core.trial import TrialRecord
from sweeps.record.availability import describe_record, is_record_damaged, is_record_missing
from sweeps.record.child_run import record_of
from sweeps.record.opening import move_damaged_record_aside
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.review import RecordReview, end_as_interrupted, write_missing_runs
from sweeps.record.trial_run import UnreadableRun
from sweeps.search.state import sweep_names
from sweeps.store.folder import SweepFolder
from sweeps.upkeep.finding import Finding, Result, remark
from sweeps.upkeep.inventory import Inventory, SweepInventory, take_inventory

_log = logging.getLogger(__name__)


def check_record_availability(inventory: Inventory) -> Result:
    """Check whether the record can be read: the server or file of `MLFLOW_TRACKING_URI`, or the default file."""
    problem = inventory.record_problem
    if problem is None:
        return Result(ok_text=describe_record(inventory.runs))
    repair = partial(_move_aside, inventory.runs) if is_record_damaged(inventory.runs) else None
    return Result(ok_text="", findings=[Finding(text=problem, repair=repair)])


def _move_aside(runs: Path) -> str:
    aside = move_damaged_record_aside(runs)
    return (
        "the record is no longer damaged"
        if aside is None
        else f"renamed the damaged file to {aside}. The record is rebuilt from the journals"
    )


def rebuild_record(runs: Path) -> None:
    """Rebuild the default record from the journals if it is missing or damaged, and log what was written.

    Raises:
        RecordError: It cannot be read or written.
    """
    move_damaged_record_aside(runs)
    if not is_record_missing(runs) or not sweep_names(runs):
        return
    for finding in check_record(Inventory(runs)).findings:
        if finding.repair is not None:
            with contextlib.suppress(SweepBusyError):
                _log.warning("rebuilt the missing record: %s", finding.repair())


def check_record(inventory: Inventory) -> Result:
    """Find RUNNING runs without a driver, and trials of the journals that are missing in the record."""
    review = inventory.review
    if review is None:
        return Result(ok_text="not compared with the journals, because the record cannot be read")
    findings = []
    known: set[str] = set()
    for sweep in inventory.sweeps:
        known |= {each.run.run_id for each in _unreadable(sweep, review)}
        findings += _findings_of(sweep, review, inventory.runs) if sweep.is_checkable else []
    findings += [
        remark(f"{each}. It is left out and is in no journal here. Correct or delete it in MLflow")
        for each in review.all_unreadable
        if each.run.run_id not in known
    ]
    with_folder = {path.name for path in (inventory.runs / "sweeps").glob("*") if path.is_dir()}
    for name in sorted(review.sweeps - with_folder - {""}):
        # A shared record also contains sweeps of other runs folders.
        if review.is_default:
            findings += _findings_without_folder(name, review, inventory.runs)
    return Result(ok_text="up to date with the journals, without open runs", findings=findings)


def _findings_of(sweep: SweepInventory, review: RecordReview, runs: Path) -> list[Finding]:
    open_runs = _open_runs(sweep, review)
    lacking = _missing_trials(sweep, review)
    problems = [str(each) for each in _unreadable(sweep, review)]
    if open_runs:
        problems.append(f"{plural(len(open_runs), 'run')} with the MLflow status RUNNING but no driver")
    if lacking:
        problems.append(f"{plural(len(lacking), 'trial')} missing or outdated in the record")
    if not problems:
        return []
    may_be_others = bool(open_runs) and not review.is_default
    elsewhere = " (unless a driver of another runs folder trains a sweep of this name)" if may_be_others else ""
    text = f"{sweep.name}: {', '.join(problems)}{elsewhere}. Run `sweeps doctor --fix` to correct this"
    return [Finding(text=text, repair=partial(_write_missing_runs, sweep.folder, runs))]


def _unreadable(sweep: SweepInventory, review: RecordReview) -> Sequence[UnreadableRun]:
    """Return the invalid runs of trials that are in the journal."""
    found = review.unreadable(sweep=sweep.name, studies=sweep.studies_of_sweep)
    records = [record for records in sweep.studies_of_sweep.values() for record in records]
    return [each for each in found if record_of(each.run, records) is not None]


def _open_runs(sweep: SweepInventory, review: RecordReview) -> Sequence[RecordedRun]:
    found = review.open_runs(sweep=sweep.name)
    # In a shared record, a study that is not here may belong to another runs folder.
    return [run for run in found if review.is_default or run.tags.get("study") in sweep.studies_of_sweep]


def _missing_trials(sweep: SweepInventory, review: RecordReview) -> list[TrialRecord]:
    lacking: list[TrialRecord] = []
    for study, records in sweep.studies_of_sweep.items():
        found = review.outdated(records, study=study)
        # Without a parent run all trials of the study are missing.
        lacking += records if review.lacks_parent(study) else found
    return lacking


def _write_missing_runs(folder: SweepFolder, runs: Path) -> str:
    with folder.locked(doing="repaired"):
        # Read again under the lock: a driver may have run since.
        review, found = RecordReview(runs), take_inventory(folder, is_held=True)
        if found.damage is not None:
            raise SweepError(found.damage)
        lacking, open_runs = _missing_trials(found, review), _open_runs(found, review)
        invalid = _unreadable(found, review)
        keys, open_studies = {record.key for record in lacking}, {run.tags.get("study") for run in open_runs}
        for study, records in found.studies_of_sweep.items():
            if study in open_studies or invalid or any(record.key in keys for record in records):
                title = f"{folder.sweep} replicates" if is_replicate_study(study) else folder.sweep
                write_missing_runs(
                    runs,
                    records,
                    sweep=folder.sweep,
                    study=study,
                    title=title,
                    review=review,
                    owner=found.owners.get(study),
                )
        left = _open_runs(found, RecordReview(runs))
        if left:
            end_as_interrupted(runs, left)
    return (
        f"{folder.sweep}: wrote {plural(len(lacking), 'trial')} from the journal, "
        f"ended {plural(len(open_runs), 'run')} without a driver"
    )


def _findings_without_folder(name: str, review: RecordReview, runs: Path) -> list[Finding]:
    open_runs = review.open_runs(sweep=name)
    if not open_runs:
        trials = review.trials(sweep=name)
        text = f"{name}: {plural(trials, 'trial')} in the record, and its folder was deleted. Its results are kept"
        return [remark(text)] if trials else []
    text = (
        f"{name}: {plural(len(open_runs), 'run')} RUNNING, but its folder was deleted. Run `sweeps doctor --fix` to "
        "end them as interrupted. Its results are kept"
    )
    return [Finding(text=text, repair=partial(_end, name, open_runs, runs))]


def _end(name: str, open_runs: Sequence[RecordedRun], runs: Path) -> str:
    if SweepFolder(runs, name).path.is_dir():
        return f"{name}: nothing to do, the sweep was started again"
    end_as_interrupted(runs, open_runs)
    return f"{name}: ended {plural(len(open_runs), 'run')} as interrupted"
