"""Checks of drivers and journals."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cifar_core.common.files import is_stray, move_stray_aside
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
    """Find running sweeps, which are skipped, and notes of failed drivers on other hosts.

    The note of a driver that was killed on this host is ignored anyway, since its lock is free.
    """
    findings = []
    for sweep in inventory.sweeps:
        if sweep.driver is not None:
            findings.append(remark(f"{sweep.name} is being {sweep.holder} and was skipped"))
        elif heartbeat := sweep.last_heartbeat:
            text = f"{sweep.name}: its driver {heartbeat}. Run `sweeps doctor --fix` to remove its lock information"
            findings.append(Finding(text=text, is_problem=False, repair=partial(_remove_driver_note, sweep)))
    held = len(inventory.sweeps) - len(inventory.idle)
    text = f"{plural(len(inventory.sweeps), 'sweep')}, {held or 'none'} of them running"
    return Result(ok_text=text, findings=findings)


def _remove_driver_note(sweep: SweepInventory) -> str:
    # Locking replaces the note, and unlocking deletes it.
    with sweep.folder.locked(doing="repaired"):
        pass
    return f"{sweep.name}: removed the lock information of the driver that {sweep.last_heartbeat}"


def check_journals(inventory: Inventory) -> Result:
    """Find damage of the journals and of the files next to them."""
    intact = [sweep for sweep in inventory.sweeps if sweep.damage is None]
    findings = [
        Finding(text=str(sweep.damage), repair=partial(_repair, sweep))
        for sweep in inventory.idle
        if sweep.damage is not None
    ]
    findings += [
        remark(f"{sweep.name} is a copy of another sweep's folder. Its study {study} is not compared with the record")
        for sweep in inventory.idle
        for study in sweep.foreign_studies
    ]
    findings += [remark(text) for sweep in intact if (text := _remote_parts(sweep))]
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
                    f"{path} has no journal. To delete the folder run "
                    f"`{command_on('rm', path.name, runs=inventory.runs)}`"
                )
            )
    read = [sweep for sweep in intact if sweep.driver is None and sweep.folder.storages.study_storage is None]
    return Result(ok_text=f"{plural(len(read), 'journal')} read, none damaged", findings=findings)


def _strays(folder: SweepFolder) -> Iterator[Finding]:
    """Yield paths of a sweep that have the wrong file type."""
    for path in (folder.checkpoints, folder.logs):
        if problem := folder_problem(path):
            yield Finding(text=problem)
    for path in folder.regenerable_files:
        if is_stray(path):
            text = f"{path} is not a file. Run `sweeps doctor --fix` to rename it"
            yield Finding(text=text, repair=partial(_move_aside, path))


def _move_aside(path: Path) -> str:
    aside = move_stray_aside(path)
    return f"{path} no longer exists" if aside is None else f"renamed {path} to {aside}"


def _remote_parts(sweep: SweepInventory) -> str:
    """Return a text on the parts of a sweep that are not local files; empty if there are none."""
    storages = sweep.folder.storages
    parts = [] if storages.study_storage is None else [f"its study in {storages.study_storage}"]
    if storages.storage is not None and is_bucket(storages.storage):
        parts.append(f"its checkpoints in {storages.storage}")
    return f"{sweep.name}: not checked: {', '.join(parts)}" if parts else ""


def _repair(sweep: SweepInventory) -> str:
    with sweep.folder.locked(doing="repaired"):
        return "; ".join(f"{sweep.name}: {line}" for line in repair_journal(sweep.folder))
