"""Checks of who holds a sweep, and of its journal."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cifar_core.common.files import is_stray, make_way
from sweeps.core.address import is_bucket
from sweeps.core.commands import command_on
from sweeps.core.errors import StoreError
from sweeps.core.formatting import plural
from sweeps.store.access_log import read_accesses
from sweeps.store.files import folder_problem
from sweeps.store.folder import SweepFolder
from sweeps.store.repair import repair_journal
from sweeps.upkeep.finding import Finding, Result, remark
from sweeps.upkeep.inventory import Inventory, SweepInventory


def check_drivers(inventory: Inventory) -> Result:
    """Look for sweeps that are run now, which are left alone, and for the note of a driver of another host.

    A driver that was killed on this host leaves a lock that the system has released and a note that nobody believes:
    nothing to say.
    """
    findings = []
    for sweep in inventory.sweeps:
        if sweep.driver is not None:
            findings.append(remark(f"{sweep.name} is being {sweep.holder}: left alone"))
        elif seen := sweep.last_heartbeat:
            text = f"{sweep.name}: its driver was {seen}: the next start, or `sweeps doctor --fix`, forgets it"
            findings.append(Finding(text=text, is_problem=False, mend=partial(_remove_driver_note, sweep)))
    held = len(inventory.sweeps) - len(inventory.idle)
    return Result(well=f"{plural(len(inventory.sweeps), 'sweep')}, {held or 'none'} of them running", findings=findings)


def _remove_driver_note(sweep: SweepInventory) -> str:
    # As the next start does: it takes the lock and writes its own note over the old one.
    with sweep.folder.locked(doing="mended"):
        pass
    return f"{sweep.name}: the note of the driver that was {sweep.last_heartbeat} is gone"


def check_journals(inventory: Inventory) -> Result:
    """Look for damage in the journals, and in the small files beside them."""
    whole = [sweep for sweep in inventory.sweeps if sweep.damage is None]
    findings = [
        Finding(text=str(sweep.damage), mend=partial(_repair, sweep))
        for sweep in inventory.idle
        if sweep.damage is not None
    ]
    findings += [
        remark(f"{sweep.name} is a copy of another sweep's folder: the record is not compared with {study}")
        for sweep in inventory.idle
        for study in sweep.strangers
    ]
    findings += [remark(words) for sweep in whole if (words := _not_looked_at(sweep))]
    findings += [finding for sweep in inventory.idle for finding in _strays(sweep.folder)]
    try:
        list(read_accesses(inventory.runs))
    except StoreError as error:
        findings.append(Finding(text=str(error)))
    parent = inventory.runs / "sweeps"
    known = {sweep.name for sweep in inventory.sweeps}
    for path in sorted(parent.iterdir()) if parent.is_dir() else []:
        if path.is_dir() and path.name not in known:
            findings.append(
                remark(
                    f"{path} has no journal: `{command_on('rm', path.name, runs=inventory.runs)}` deletes it if you do "
                    "not want it any more"
                )
            )
    read = [sweep for sweep in whole if sweep.driver is None and sweep.folder.storages.study_storage is None]
    return Result(well=f"{plural(len(read), 'journal')} read, none damaged", findings=findings)


def _strays(folder: SweepFolder) -> Iterator[Finding]:
    """Yield what lies in the place of a sweep's folders and of its small files, and is none."""
    for path in (folder.checkpoints, folder.logs):
        if fault := folder_problem(path):
            yield Finding(text=fault)
    for path in folder.regenerable_files:
        if is_stray(path):
            text = f"{path} is no file: the next start, or `sweeps doctor --fix`, moves it aside"
            yield Finding(text=text, mend=partial(_move_aside, path))


def _move_aside(path: Path) -> str:
    return f"what was {path} is {make_way(path) or 'gone'} now"


def _not_looked_at(sweep: SweepInventory) -> str:
    """Return in words what of a sweep is no file here, "" where all of it is."""
    storages = sweep.folder.storages
    parts = [] if storages.study_storage is None else [f"its study in {storages.study_storage}"]
    if storages.storage is not None and is_bucket(storages.storage):
        parts.append(f"its checkpoints in {storages.storage}")
    return f"{sweep.name}: not looked at: {', '.join(parts)}" if parts else ""


def _repair(sweep: SweepInventory) -> str:
    with sweep.folder.locked(doing="repaired"):
        return "; ".join(f"{sweep.name}: {line}" for line in repair_journal(sweep.folder))
