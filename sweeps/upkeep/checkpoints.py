"""Check of the checkpoints: those that nothing refers to, and those that are damaged."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cifar_core.common.files import atomic_write, previous_file
from cifar_core.common.seal import fault_of_seal
from sweeps.core.errors import SweepError
from sweeps.core.formatting import bytes_in_words, plural
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.store.folder import CHECKPOINT_FILE
from sweeps.upkeep.finding import Finding, Result, remark
from sweeps.upkeep.garbage import Garbage, orphaned_checkpoints, total
from sweeps.upkeep.inventory import Inventory, SweepInventory

_READ_BYTES = 2_000_000_000
"""Of all checkpoints together, the newest first: of what is more only the end of each file is looked at."""


def check_checkpoints(inventory: Inventory) -> Result:
    """Look for checkpoints that nothing refers to, and read those of complete and interrupted trials."""
    findings = _orphans(inventory)
    files = _used_files(inventory)
    read = 0
    for path, sweep, record in files:
        size = path.stat().st_size
        whole = read + size <= _READ_BYTES
        read += size if whole else 0
        fault = fault_of_seal(path, whole=whole)
        if fault is not None:
            findings.append(_damaged(path, fault, sweep=sweep, record=record, inventory=inventory))
    return Result(well=f"{plural(len(files), 'checkpoint')}, all whole and needed", findings=findings)


def _orphans(inventory: Inventory) -> list[Finding]:
    if inventory.unknown is not None:
        return [remark(f"which of them nothing refers to cannot be said: {inventory.unknown}")]
    found = sorted(orphaned_checkpoints(inventory), key=lambda each: each.sweep or "")
    return [
        _orphans_of(str(sweep), list(each), inventory)
        for sweep, each in itertools.groupby(found, lambda each: each.sweep)
    ]


def _orphans_of(sweep: str, orphans: list[Garbage], inventory: Inventory) -> Finding:
    names = ", ".join(f"{each.path.name} ({each.why})" for each in orphans[:3]) + (", …" if len(orphans) > 3 else "")
    text = (
        f"{sweep}: {plural(len(orphans), 'checkpoint')} that nothing goes on from, {bytes_in_words(total(orphans))}: "
        f"{names}: `sweeps gc` or `sweeps doctor --fix` deletes them"
    )
    return Finding(text=text, mend=partial(_delete_orphans, sweep, inventory))


def _delete_orphans(sweep: str, inventory: Inventory) -> str:
    (folder,) = (each.folder for each in inventory.sweeps if each.name == sweep)
    with folder.locked(doing="cleaned", needs_space=False):
        # Anew: a driver may have come and gone since it was looked at.
        orphans = [
            each for each in orphaned_checkpoints(Inventory(inventory.runs, held=[sweep])) if each.sweep == sweep
        ]
        for orphan in orphans:
            shutil.rmtree(orphan.path)
    return f"{sweep}: {plural(len(orphans), 'checkpoint')} deleted, {bytes_in_words(total(orphans))}"


def _used_files(inventory: Inventory) -> list[tuple[Path, SweepInventory, TrialRecord]]:
    """Return the files of complete and interrupted trials of sweeps that stand still, the newest first."""
    found = {}
    for sweep in filter(lambda sweep: sweep.is_judged, inventory.sweeps):
        for record in sweep.records:
            path = sweep.folder.checkpoints / record.key / CHECKPOINT_FILE
            used = record.outcome in (Outcome.COMPLETE, Outcome.INTERRUPTED) and path.is_file()
            # Of two studies of a sweep with one key, the complete one: its weights are a result.
            if used and (path not in found or record.outcome is Outcome.COMPLETE):
                found[path] = (path, sweep, record)
    return sorted(found.values(), key=lambda file: -file[0].stat().st_mtime)


def _damaged(path: Path, fault: str, *, sweep: SweepInventory, record: TrialRecord, inventory: Inventory) -> Finding:
    before = previous_file(path)
    what = f"{sweep.name}: the checkpoint of {record.name}, {path}, is damaged ({fault})"
    if record.outcome is Outcome.COMPLETE:
        if next(_copies(path, inventory), None) is not None:
            text = f"{what}: another sweep has a copy, and `sweeps doctor --fix` takes it"
            return Finding(text=text, mend=partial(_take_copy, path, sweep, inventory))
        return Finding(
            text=f"{what}, and there is no copy: its result stays in the record. To predict with it put back a copy of "
            f"the file; else delete {path.parent}, and train it again under another sweep's name"
        )
    if before.is_file() and fault_of_seal(before) is None:
        return remark(f"{what}: it goes on from the one before, an epoch earlier")
    text = f"{what}: it begins anew at the next start, and `sweeps doctor --fix` deletes what is of no use"
    return Finding(text=text, mend=partial(_delete_damaged, path, sweep))


def _copies(path: Path, inventory: Inventory) -> Iterator[Path]:
    """Yield whole checkpoints of the same complete run in other sweeps."""
    for sweep in inventory.sweeps:
        other = sweep.folder.checkpoints / path.parent.name / path.name
        complete = any(r.key == path.parent.name and r.outcome is Outcome.COMPLETE for r in sweep.records)
        if complete and other != path and other.is_file() and fault_of_seal(other) is None:
            yield other


def _take_copy(path: Path, sweep: SweepInventory, inventory: Inventory) -> str:
    with sweep.folder.locked(doing="mended"):
        copy = next(_copies(path, inventory), None)
        if copy is None:
            raise SweepError(f"the copy of {path} is gone meanwhile")
        with atomic_write(path) as file:
            file.write(copy.read_bytes())
    return f"{path} is taken from {copy}"


def _delete_damaged(path: Path, sweep: SweepInventory) -> str:
    with sweep.folder.locked(doing="mended"):
        for file in (path, previous_file(path)):
            if file.is_file() and fault_of_seal(file) is not None:
                file.unlink()
    return f"{path} is deleted: its trial begins anew"
