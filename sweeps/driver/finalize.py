"""Opening the sealed test set for the confirmed best of a search: once, and noted."""

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
from sweeps.search.stored_trials import read_records, store_test
from sweeps.store.access_log import record_access
from sweeps.store.checkpoints import SweepCheckpoints
from sweeps.store.folder import SweepFolder
from sweeps.store.kept_code import require_same_code
from sweeps.tasks.registry import task_of
from sweeps.worker.measure import fetch_weights, measure_on_test


@dataclass(frozen=True, kw_only=True)
class Finalized:
    """What one configuration does on the test set."""

    records: tuple[TrialRecord, ...]
    """Its confirming runs, each tested."""


def finalize(
    runs: Path, sweep: str, *, top: int = 1, on_measure: Callable[[TrialRecord], None] = lambda record: None
) -> tuple[list[Finalized], int]:
    """Return what the best confirmed configurations of a search do on the test set, and how many runs were measured.

    What was measured once is not measured again. Every look is noted in the log before the images are opened.

    Args:
        runs: the runs folder.
        sweep: name of a search.
        top: configurations, the best first.
        on_measure: hears of each run before it is measured.

    Raises:
        NoSuchSweepError: there is no such sweep.
        SweepError: none of its configurations is confirmed, or the weights of one are gone.
        RecordError: the record cannot be read or written.
    """
    folder = SweepFolder(runs.resolve(), sweep)
    read_studies(folder)  # before the lock, which makes the folder of a sweep that is not there
    with folder.locked(doing="finalized"):
        reader = MlflowReader(folder.runs)
        chosen = confirming_keys(reader.runs(sweep=sweep), top=top)
        studies = read_studies(folder)
        study = studies.replicates
        if is_ladder_study(studies.search):
            raise SweepError(
                f"{sweep} is a ladder: `sweeps ladder FILE` measures its rungs on the test images, and where the file "
                "says `evaluate: validation`, `sweeps ladder FILE --final` does"
            )
        records = {} if study is None else {record.key: record for record in read_records(study, sweep=sweep)}
        wanted = [[records[key] for key in keys if key in records] for keys in chosen]
        if study is None or not any(wanted):
            raise SweepError(
                f"no configuration of {sweep} is confirmed: `sweeps replicate {sweep}` first, so that the test set is "
                "opened for what is truly good, and once"
            )
        untested = [record for group in wanted for record in group if record.test is None]
        if untested:
            measured = _measure(folder, untested, on_measure=on_measure)
            records |= {record.key: record for record in measured}
        # Also what an earlier call measured and could not write: killed in between, or the record was away.
        if not reader.holds(records.values(), study=study.study_name):
            _record(folder, records, study=study.study_name, owner=study.user_attrs.get(OWNER))
    done = [Finalized(records=tuple(records[record.key] for record in group)) for group in wanted]
    return done, len(untested)


def _measure(
    folder: SweepFolder, untested: Sequence[TrialRecord], *, on_measure: Callable[[TrialRecord], None]
) -> list[TrialRecord]:
    checkpoints = SweepCheckpoints(folder)
    task = task_of(untested[0].config)
    for record in untested:
        run = f"{folder.sweep}, {record.name}"
        require_same_code(record.config, record.source, run=run, sweep=folder.path, trains=False)
        if not fetch_weights(task, record.key, runs=folder.runs, to=checkpoints):
            raise SweepError(
                f"the weights of {record.name} of {folder.sweep} are gone: nothing was opened; delete the sweep's "
                "replicates with it (`sweeps rm`) and train them again"
            )
    record_access(folder.runs, sweep=folder.sweep, keys=[record.key for record in untested])
    study = open_replicates(folder)
    measured: list[TrialRecord] = []
    for record in untested:
        folder.publish(measured=len(measured), to_measure=len(untested))
        on_measure(record)
        file = checkpoints.file(record.key)
        assert file is not None, "brought above"
        test = measure_on_test(task, file)
        store_test(study, record.number, test)
        measured.append(replace(record, test=test))
    return measured


def _record(folder: SweepFolder, records: dict[str, TrialRecord], *, study: str, owner: str | None) -> None:
    name = f"{folder.sweep} replicates"
    recorded = RecordedStudy(sweep=folder.sweep, name=study, title=name, owner=owner)
    # Neither commit nor versions of this process: it trains nothing.
    with Tracker(recorded, runs=folder.runs, environment={}) as tracker:
        tracker.reconcile(records.values())
