"""Check for orphaned and damaged checkpoints."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cifar_core.common.checksum_file import checksum_fault
from cifar_core.common.files import atomic_write, previous_file
from sweeps.core.errors import SweepError
from sweeps.core.formatting import bytes_in_words, plural
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.store.folder import CHECKPOINT_FILE
from sweeps.upkeep.finding import Finding, Result, remark
from sweeps.upkeep.garbage import Garbage, orphaned_checkpoints, total
from sweeps.upkeep.inventory import Inventory, SweepInventory

_READ_BYTES = 2_000_000_000
"""Limit of the bytes that are read, of the newest checkpoints first. Of the others only the end is checked."""


def check_checkpoints(inventory: Inventory) -> Result:
    """Find orphaned checkpoints, and read those of complete and interrupted trials."""
    findings = _orphans(inventory)
    files = _used_files(inventory)
    read = 0
    for path, sweep, record in files:
        size = path.stat().st_size
        complete = read + size <= _READ_BYTES
        read += size if complete else 0
        fault = checksum_fault(path, full=complete)
        if fault is not None:
            findings.append(_damaged(path, fault, sweep=sweep, record=record, inventory=inventory))
    return Result(ok_text=f"{plural(len(files), 'checkpoint')}, none damaged or orphaned", findings=findings)


def _orphans(inventory: Inventory) -> list[Finding]:
    if inventory.unknown_reason is not None:
        return [remark(f"not checked for orphaned checkpoints: {inventory.unknown_reason}")]
    found = sorted(orphaned_checkpoints(inventory), key=lambda each: each.sweep or "")
    return [
        _orphans_of(str(sweep), list(each), inventory)
        for sweep, each in itertools.groupby(found, lambda each: each.sweep)
    ]


def _orphans_of(sweep: str, orphans: list[Garbage], inventory: Inventory) -> Finding:
    names = ", ".join(f"{each.path.name} ({each.why})" for each in orphans[:3]) + (", …" if len(orphans) > 3 else "")
    text = (
        f"{sweep}: {plural(len(orphans), 'checkpoint')} that no trial needs, {bytes_in_words(total(orphans))}: "
        f"{names}. Run `sweeps gc` or `sweeps doctor --fix` to delete them"
    )
    return Finding(text=text, repair=partial(_delete_orphans, sweep, inventory))


def _delete_orphans(sweep: str, inventory: Inventory) -> str:
    (folder,) = (each.folder for each in inventory.sweeps if each.name == sweep)
    with folder.locked(doing="cleaned", needs_space=False):
        # Checked again under the lock: a driver may have run since.
        orphans = [
            each for each in orphaned_checkpoints(Inventory(inventory.runs, held=[sweep])) if each.sweep == sweep
        ]
        for orphan in orphans:
            shutil.rmtree(orphan.path)
    return f"{sweep}: {plural(len(orphans), 'checkpoint')} deleted, {bytes_in_words(total(orphans))}"


def _used_files(inventory: Inventory) -> list[tuple[Path, SweepInventory, TrialRecord]]:
    """Return the files of complete, paused and interrupted trials of stopped sweeps, the newest first."""
    found = {}
    for sweep in filter(lambda sweep: sweep.is_checkable, inventory.sweeps):
        for record in sweep.records:
            path = sweep.folder.checkpoints / record.key / CHECKPOINT_FILE
            used = record.outcome in (Outcome.COMPLETE, Outcome.PAUSED, Outcome.INTERRUPTED) and path.is_file()
            # If two studies of a sweep have the same key, the complete trial counts: its weights are a result.
            if used and (path not in found or record.outcome is Outcome.COMPLETE):
                found[path] = (path, sweep, record)
    return sorted(found.values(), key=lambda file: -file[0].stat().st_mtime)


def _damaged(path: Path, fault: str, *, sweep: SweepInventory, record: TrialRecord, inventory: Inventory) -> Finding:
    before = previous_file(path)
    problem = f"{sweep.name}: the checkpoint of {record.name}, {path}, is damaged ({fault})"
    if record.outcome is Outcome.COMPLETE:
        if next(_copies(path, inventory), None) is not None:
            text = f"{problem}. Run `sweeps doctor --fix` to copy it from another sweep"
            return Finding(text=text, repair=partial(_copy_checkpoint, path, sweep, inventory))
        return Finding(
            text=f"{problem} and has no copy. Its result stays in the record. Run "
            f"`sweeps rerun {record.key[:8]}` to train it again and restore the file"
        )
    if before.is_file() and checksum_fault(before) is None:
        return remark(f"{problem}. The trial resumes from its previous checkpoint, one epoch earlier")
    text = f"{problem}. The trial will restart from epoch 1. Run `sweeps doctor --fix` to delete the file"
    return Finding(text=text, repair=partial(_delete_damaged, path, sweep))


def _copies(path: Path, inventory: Inventory) -> Iterator[Path]:
    """Yield intact checkpoints of the same complete run in other sweeps."""
    for sweep in inventory.sweeps:
        other = sweep.folder.checkpoints / path.parent.name / path.name
        complete = any(r.key == path.parent.name and r.outcome is Outcome.COMPLETE for r in sweep.records)
        if complete and other != path and other.is_file() and checksum_fault(other) is None:
            yield other


def _copy_checkpoint(path: Path, sweep: SweepInventory, inventory: Inventory) -> str:
    with sweep.folder.locked(doing="repaired"):
        copy = next(_copies(path, inventory), None)
        if copy is None:
            raise SweepError(f"the copy of {path} no longer exists")
        with atomic_write(path) as file:
            file.write(copy.read_bytes())
    return f"copied {path} from {copy}"


def _delete_damaged(path: Path, sweep: SweepInventory) -> str:
    with sweep.folder.locked(doing="repaired"):
        for file in (path, previous_file(path)):
            if file.is_file() and checksum_fault(file) is not None:
                file.unlink()
    return f"deleted {path}. Its trial will restart from epoch 1"
