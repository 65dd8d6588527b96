"""What lies under a runs folder, read once: sweeps with their trials, who runs them, and the record beside them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.core.errors import DamagedJournalError, RecordError, StoreError, SweepError, UnsupportedFormatError
from sweeps.core.identity import is_study_of
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record.answering import record_fault
from sweeps.record.ownership import OWNER
from sweeps.record.review import RecordReview
from sweeps.search.opening import read_all_studies
from sweeps.search.state import sweep_names
from sweeps.search.stored_trials import read_records
from sweeps.store.folder import SweepFolder


@dataclass(frozen=True, kw_only=True)
class SweepInventory:
    """One sweep as its folder holds it."""

    folder: SweepFolder
    driver: Mapping[str, str | int | float] | None
    """Who holds it; None where nobody does."""
    last_heartbeat: str | None
    """Of a driver on another host that is assumed dead, when and where it gave its last sign."""
    studies: Mapping[str, Sequence[TrialRecord]]
    """The trials of each of its studies, as far as its journal can be read."""
    strangers: Sequence[str]
    """Studies in its journal that belong to another sweep, whose folder this one is a copy of."""
    damage: str | None
    """Of its journal, and what to do about it; None where it is whole."""
    owners: Mapping[str, str]
    """The id of each of its studies that has one: by it the record knows their runs."""

    @property
    def name(self) -> str:
        return self.folder.sweep

    @property
    def holder(self) -> str:
        """Who holds it, in words."""
        assert self.driver is not None
        return f"{self.driver.get('doing', 'run')} by process {self.driver['pid']} on {self.driver['host']}"

    @property
    def is_judged(self) -> bool:
        """Whether it stands still and can be read whole: of any other nothing is said, and nothing is deleted."""
        return self.driver is None and self.damage is None

    @property
    def own_studies(self) -> Mapping[str, Sequence[TrialRecord]]:
        """The studies that are this sweep's: the record knows the others as another sweep's."""
        return {study: records for study, records in self.studies.items() if study not in self.strangers}

    @property
    def records(self) -> list[TrialRecord]:
        return [record for records in self.studies.values() for record in records]

    @property
    def kept_keys(self) -> set[str]:
        """Of the trials whose checkpoints are used, or will be."""
        used = (Outcome.COMPLETE, Outcome.INTERRUPTED, Outcome.RUNNING)
        return {record.key for record in self.records if record.outcome in used}


class Inventory:
    """Everything under one runs folder, each part read when it is first asked for."""

    def __init__(self, runs: Path, *, held: Collection[str] = ()) -> None:
        """Read nothing yet.

        Args:
            runs: the runs folder.
            held: sweeps that this process itself holds, so that nobody else does.
        """
        self.runs = runs.resolve()
        self._held = held

    @functools.cached_property
    def sweeps(self) -> Sequence[SweepInventory]:
        """Every sweep that has a journal, by name."""
        names = sweep_names(self.runs)
        return [take_inventory(SweepFolder(self.runs, name), is_held=name in self._held) for name in names]

    @property
    def idle(self) -> Sequence[SweepInventory]:
        """The sweeps that nobody holds."""
        return [sweep for sweep in self.sweeps if sweep.driver is None]

    @functools.cached_property
    def record_fault(self) -> str | None:
        """Why the record cannot be had, None where it can."""
        fault = record_fault(self.runs)
        if fault is None:
            try:
                self._review = RecordReview(self.runs)
            except RecordError as error:
                fault = str(error)
        return fault

    @property
    def review(self) -> RecordReview | None:
        """The record; None where it cannot be had, see `record_fault`."""
        return None if self.record_fault is not None else self._review

    @functools.cached_property
    def complete_keys(self) -> set[str]:
        """Of every complete run of any sweep: its weights stay, wherever they lie."""
        found = {record.key for sweep in self.sweeps for record in sweep.records if record.outcome is Outcome.COMPLETE}
        return found | (set() if self.review is None else self.review.complete_keys)

    @property
    def unknown(self) -> str | None:
        """What keeps one from saying which checkpoints nothing refers to, None where nothing does."""
        damaged = [sweep.name for sweep in self.sweeps if sweep.damage is not None]
        if damaged:
            return f"the journal of {', '.join(damaged)} cannot be read"
        return None if self.record_fault is None else "the record cannot be read"


def take_inventory(folder: SweepFolder, *, is_held: bool = False) -> SweepInventory:
    """Return a sweep as its folder holds it now.

    Args:
        folder: the sweep's.
        is_held: whether this process itself holds it.
    """
    try:
        _ = folder.storages
    except StoreError as error:
        return SweepInventory(
            folder=folder, driver=None, last_heartbeat=None, studies={}, owners={}, strangers=[], damage=str(error)
        )
    # In this order: a driver that ends meanwhile has written all that is read afterwards.
    try:
        driver = None if is_held else folder.driver()
    except StoreError:  # its database is away: said below
        driver = {"pid": 0, "host": "unknown"}
    studies: dict[str, Sequence[TrialRecord]] = {}
    strangers: list[str] = []
    owners: dict[str, str] = {}
    damage: StoreError | None
    try:
        stored, damage = read_all_studies(folder)
        for study in stored:
            studies[study.study_name] = list(read_records(study, sweep=folder.sweep))
            if OWNER in study.user_attrs:
                owners[study.study_name] = str(study.user_attrs[OWNER])
            if not is_study_of(study.study_name, sweep=folder.sweep):
                strangers.append(study.study_name)
    except (DamagedJournalError, UnsupportedFormatError) as error:
        damage = error
    except (SweepError, OSError) as error:
        damage = DamagedJournalError(f"{folder.journal} cannot be read ({error})")
    return SweepInventory(
        folder=folder,
        driver=driver,
        last_heartbeat=None if driver is not None or is_held else folder.last_heartbeat,
        studies=studies,
        strangers=strangers,
        damage=None if damage is None else str(damage),
        owners=owners,
    )
