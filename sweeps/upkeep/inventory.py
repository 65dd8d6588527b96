"""The inventory of a runs folder: sweeps with trials and drivers, and the record."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.core.errors import DamagedJournalError, RecordError, StoreError, SweepError, UnsupportedFormatError
from sweeps.core.identity import is_study_of
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record.availability import record_problem
from sweeps.record.ownership import OWNER
from sweeps.record.review import RecordReview
from sweeps.search.opening import read_all_studies
from sweeps.search.state import sweep_names
from sweeps.search.stored_trials import name_in_record, read_records
from sweeps.store.folder import SweepFolder


@dataclass(frozen=True, kw_only=True)
class SweepInventory:
    """The contents of a sweep's folder."""

    folder: SweepFolder
    driver: Mapping[str, str | int | float] | None
    """Information on the process that holds it; None if none does."""
    last_heartbeat: str | None
    """See `SweepFolder.last_heartbeat`."""
    studies: Mapping[str, Sequence[TrialRecord]]
    """Study → trials, as far as the journal can be read."""
    foreign_studies: Sequence[str]
    """Studies in its journal that belong to another sweep, of which this folder is a copy."""
    damage: str | None
    """Error message for a damaged journal; None if it is intact."""
    owners: Mapping[str, str]
    """Study → owner id, see `sweeps.record.ownership`."""

    @property
    def name(self) -> str:
        return self.folder.sweep

    @property
    def holder(self) -> str:
        """Text on the process that holds it: `run by process 12 on host`."""
        assert self.driver is not None
        return f"{self.driver.get('doing', 'run')} by process {self.driver['pid']} on {self.driver['host']}"

    @property
    def is_checkable(self) -> bool:
        """Whether no process holds it and its journal is intact; only then is it checked and cleaned."""
        return self.driver is None and self.damage is None

    @property
    def studies_of_sweep(self) -> Mapping[str, Sequence[TrialRecord]]:
        """The studies without foreign ones, which the record assigns to another sweep."""
        return {study: records for study, records in self.studies.items() if study not in self.foreign_studies}

    @property
    def records(self) -> list[TrialRecord]:
        return [record for records in self.studies.values() for record in records]

    @property
    def kept_keys(self) -> set[str]:
        """Keys of the trials whose checkpoints are needed."""
        used = (Outcome.COMPLETE, Outcome.PAUSED, Outcome.INTERRUPTED, Outcome.RUNNING)
        return {record.key for record in self.records if record.outcome in used}


class Inventory:
    """The inventory of a runs folder. Each part is read at its first use."""

    def __init__(self, runs: Path, *, held: Collection[str] = ()) -> None:
        """Create an inventory.

        Args:
            runs: The runs folder.
            held: Sweeps whose locks this process holds.
        """
        self.runs = runs.resolve()
        self._held = held

    @functools.cached_property
    def sweeps(self) -> Sequence[SweepInventory]:
        """All sweeps, by name."""
        names = sweep_names(self.runs)
        return [take_inventory(SweepFolder(self.runs, name), is_held=name in self._held) for name in names]

    @property
    def idle(self) -> Sequence[SweepInventory]:
        """The sweeps that no process holds."""
        return [sweep for sweep in self.sweeps if sweep.driver is None]

    @functools.cached_property
    def record_problem(self) -> str | None:
        """Error message if the record cannot be read; None if it can."""
        problem = record_problem(self.runs)
        if problem is None:
            try:
                self._review = RecordReview(self.runs)
            except RecordError as error:
                problem = str(error)
        return problem

    @property
    def review(self) -> RecordReview | None:
        """The record; None if it cannot be read, see `record_problem`."""
        return None if self.record_problem is not None else self._review

    @functools.cached_property
    def complete_keys(self) -> set[str]:
        """Keys of the complete runs of all sweeps, whose weights are kept."""
        found = {record.key for sweep in self.sweeps for record in sweep.records if record.outcome is Outcome.COMPLETE}
        return found | (set() if self.review is None else self.review.complete_keys)

    @property
    def unknown_reason(self) -> str | None:
        """Reason why orphaned checkpoints cannot be determined; None if they can."""
        damaged = [sweep.name for sweep in self.sweeps if sweep.damage is not None]
        if damaged:
            return f"the journal of {', '.join(damaged)} cannot be read"
        return None if self.record_problem is None else "the record cannot be read"


def take_inventory(folder: SweepFolder, *, is_held: bool = False) -> SweepInventory:
    """Return the contents of a sweep's folder.

    Args:
        folder: Folder of the sweep.
        is_held: Whether this process holds its lock.
    """
    try:
        _ = folder.storages
    except StoreError as error:
        return SweepInventory(
            folder=folder,
            driver=None,
            last_heartbeat=None,
            studies={},
            owners={},
            foreign_studies=[],
            damage=str(error),
        )
    # The driver first: if it ends in between, everything it wrote is read below.
    try:
        driver = None if is_held else folder.driver()
    except StoreError:  # its database is unreachable: reported below
        driver = {"pid": 0, "host": "unknown"}
    studies: dict[str, Sequence[TrialRecord]] = {}
    foreign_studies: list[str] = []
    owners: dict[str, str] = {}
    damage: StoreError | None
    try:
        stored, damage = read_all_studies(folder)
        for study in stored:
            studies[name_in_record(study)] = list(read_records(study, sweep=folder.sweep))
            if OWNER in study.user_attrs:
                owners[name_in_record(study)] = str(study.user_attrs[OWNER])
            if not is_study_of(study.study_name, sweep=folder.sweep):
                foreign_studies.append(study.study_name)
    except (DamagedJournalError, UnsupportedFormatError) as error:
        damage = error
    except (SweepError, OSError) as error:
        damage = DamagedJournalError(f"{folder.journal} cannot be read ({error})")
    return SweepInventory(
        folder=folder,
        driver=driver,
        last_heartbeat=None if driver is not None or is_held else folder.last_heartbeat,
        studies=studies,
        foreign_studies=foreign_studies,
        damage=None if damage is None else str(damage),
        owners=owners,
    )
