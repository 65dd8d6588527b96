"""Checks of the record in MLflow: whether it answers, what is left open in it, what it lacks of the journals."""

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
from sweeps.record.answering import is_lost, is_record_damaged, record_in_words
from sweeps.record.child_run import record_of
from sweeps.record.opening import set_damaged_record_aside
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.review import RecordReview, bring_level, end_as_interrupted
from sweeps.record.trial_run import UnreadableRun
from sweeps.search.state import sweep_names
from sweeps.store.folder import SweepFolder
from sweeps.upkeep.finding import Finding, Result, remark
from sweeps.upkeep.inventory import Inventory, SweepInventory, take_inventory

_log = logging.getLogger(__name__)


def check_record_answers(inventory: Inventory) -> Result:
    """Ask whether the record can be had at all: a server that `MLFLOW_TRACKING_URI` names, or the file."""
    fault = inventory.record_fault
    if fault is None:
        return Result(well=record_in_words(inventory.runs))
    mend = partial(_set_aside, inventory.runs) if is_record_damaged(inventory.runs) else None
    return Result(well="", findings=[Finding(text=fault, mend=mend)])


def _set_aside(runs: Path) -> str:
    aside = set_damaged_record_aside(runs)
    return (
        "it is whole by now"
        if aside is None
        else f"the damaged file is {aside}; what the journals hold is written anew"
    )


def rebuild_record(runs: Path) -> None:
    """Write the runs folder's own record anew from its journals where it is lost or damaged; say what was written.

    Raises:
        RecordError: it cannot be looked at, or written.
    """
    set_damaged_record_aside(runs)
    if not is_lost(runs) or not sweep_names(runs):
        return
    for finding in check_record(Inventory(runs)).findings:
        if finding.mend is not None:
            with contextlib.suppress(SweepBusyError):
                _log.warning("the record was lost, and is written anew: %s", finding.mend())


def check_record(inventory: Inventory) -> Result:
    """Look for runs that no driver will end, and for trials that the journal holds and the record does not."""
    review = inventory.review
    if review is None:
        return Result(well="not compared with the journals: it cannot be read")
    findings = []
    known: set[str] = set()
    for sweep in inventory.sweeps:
        known |= {each.run.run_id for each in _unreadable(sweep, review)}
        findings += _findings_of(sweep, review, inventory.runs) if sweep.is_judged else []
    findings += [
        remark(f"{each}: it is left out, and no journal here holds it: set it right or delete it in MLflow")
        for each in review.all_unreadable
        if each.run.run_id not in known
    ]
    with_folder = {path.name for path in (inventory.runs / "sweeps").glob("*") if path.is_dir()}
    for name in sorted(review.sweeps - with_folder - {""}):
        # In a record that others write too, theirs is no business of this folder.
        if review.is_own:
            findings += _findings_without_folder(name, review, inventory.runs)
    return Result(well="nothing left open, and level with the journals", findings=findings)


def _findings_of(sweep: SweepInventory, review: RecordReview, runs: Path) -> list[Finding]:
    open_runs = _open_runs(sweep, review)
    lacking = _lacking(sweep, review)
    said = [str(each) for each in _unreadable(sweep, review)]
    if open_runs:
        said.append(f"{plural(len(open_runs), 'run')} RUNNING although nobody runs it")
    if lacking:
        said.append(f"{plural(len(lacking), 'trial')} that the journal holds otherwise, or that the record lacks")
    if not said:
        return []
    may_be_others = bool(open_runs) and not review.is_own
    elsewhere = " (unless a driver of another runs folder trains a sweep of this name there)" if may_be_others else ""
    text = f"{sweep.name}: {' and '.join(said)}{elsewhere}: `sweeps doctor --fix` writes it, as the next start would"
    return [Finding(text=text, mend=partial(_bring_level, sweep.folder, runs))]


def _unreadable(sweep: SweepInventory, review: RecordReview) -> Sequence[UnreadableRun]:
    """Return the runs that cannot be read, of trials that the journal holds."""
    found = review.unreadable(sweep=sweep.name, studies=sweep.own_studies)
    records = [record for records in sweep.own_studies.values() for record in records]
    return [each for each in found if record_of(each.run, records) is not None]


def _open_runs(sweep: SweepInventory, review: RecordReview) -> Sequence[RecordedRun]:
    found = review.open_runs(sweep=sweep.name)
    # Elsewhere, such as on a server, a study that is not here may be another runs folder's.
    return [run for run in found if review.is_own or run.tags.get("study") in sweep.own_studies]


def _lacking(sweep: SweepInventory, review: RecordReview) -> list[TrialRecord]:
    lacking: list[TrialRecord] = []
    for study, records in sweep.own_studies.items():
        found = review.out_of_step(records, study=study)
        # Trials whose study has no run of its own hang in the air: all of them.
        lacking += records if review.lacks_parent(study) else found
    return lacking


def _bring_level(folder: SweepFolder, runs: Path) -> str:
    with folder.locked(doing="mended"):
        # Anew, under the lock: a driver may have come and gone since it was looked at.
        review, found = RecordReview(runs), take_inventory(folder, is_held=True)
        if found.damage is not None:
            raise SweepError(found.damage)
        lacking, open_runs = _lacking(found, review), _open_runs(found, review)
        misread = _unreadable(found, review)
        keys, open_studies = {record.key for record in lacking}, {run.tags.get("study") for run in open_runs}
        for study, records in found.own_studies.items():
            if study in open_studies or misread or any(record.key in keys for record in records):
                title = f"{folder.sweep} replicates" if is_replicate_study(study) else folder.sweep
                bring_level(
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
        f"{folder.sweep}: {plural(len(lacking), 'trial')} written from the journal, "
        f"{plural(len(open_runs), 'run')} ended that nobody ran"
    )


def _findings_without_folder(name: str, review: RecordReview, runs: Path) -> list[Finding]:
    open_runs = review.open_runs(sweep=name)
    if not open_runs:
        trials = review.trials(sweep=name)
        text = f"{name} has {plural(trials, 'trial')} in the record and no folder any more: they stay, nothing to do"
        return [remark(text)] if trials else []
    text = (
        f"{name}: {plural(len(open_runs), 'run')} RUNNING, and its folder is gone: `sweeps doctor --fix` ends them as "
        "interrupted; its results stay"
    )
    return [Finding(text=text, mend=partial(_end, name, open_runs, runs))]


def _end(name: str, open_runs: Sequence[RecordedRun], runs: Path) -> str:
    if SweepFolder(runs, name).path.is_dir():
        return f"{name}: nothing, it has been begun anew meanwhile"
    end_as_interrupted(runs, open_runs)
    return f"{name}: {plural(len(open_runs), 'run')} ended as interrupted"
