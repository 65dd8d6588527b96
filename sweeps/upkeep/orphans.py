"""Checkpoints and half-written files that nothing refers to; `doctor` and `gc` both ask here."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from cifar_core.files import previous_file
from cifar_core.seal import fault_of_seal
from sweeps.study import CHECKPOINT_FILE
from sweeps.trial_record import Outcome
from sweeps.upkeep.garbage import Garbage, Kind, bytes_of, is_inside
from sweeps.upkeep.inventory import Inventory, SweepInventory

AT_REST_SECONDS = 600
"""What was changed less long ago may be used still: by a worker that outlives its driver for a moment."""
_OLD_SECONDS = 24 * 3600
_HALF_WRITTEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}")
"""What `cifar_core.files.atomic_write` writes to before it is renamed."""
_KEY = re.compile(r"[0-9a-f]{16}")
"""What somebody has put beside them, such as a copy, is not ours to delete."""
_OF_A_SWEEP = re.compile(r"journal\.log.*|driver\.json")
_OF_RUNS = re.compile(r".+\.(csv|html|json|jsonl|md|png|svg)")


def orphaned_checkpoints(inventory: Inventory) -> Iterator[Garbage]:
    """Yield the checkpoints that no trial goes on from and nobody predicts with.

    Kept is what belongs to a complete or an unfinished trial of the sweep, of whichever of its studies, or of the
    record alone: a trial that a repaired journal has lost is proposed again, and goes on. And the weights of every run
    that is complete anywhere. A sweep that somebody holds is left out; nothing is yielded
    where `Inventory.unknown` says why it cannot be known.
    """
    if inventory.unknown is not None or inventory.review is None:
        return
    for sweep in filter(lambda sweep: sweep.is_judged, inventory.sweeps):
        outcomes = {record.key: record.outcome.value for record in sweep.records}
        lost = inventory.review.unfinished_keys(sweep=sweep.name) - outcomes.keys()
        kept = sweep.kept_keys | inventory.complete_keys | lost
        for path in _folders(sweep.folder.checkpoints, inventory.runs):
            if path.name not in kept and _is_ours(path):
                why = outcomes.get(path.name, "of no trial")
                yield Garbage(kind=Kind.ORPHAN, path=path, bytes=bytes_of(path), why=why, sweep=sweep.name)


def _is_ours(folder: Path) -> bool:
    """Return whether a folder can only be a run's own: its name is a key, and nothing else lies in it."""
    weights = folder / CHECKPOINT_FILE
    known = {weights.name, previous_file(weights).name}
    return _KEY.fullmatch(folder.name) is not None and all(
        path.name in known or _HALF_WRITTEN.fullmatch(path.name) for path in folder.iterdir()
    )


def second_copies(inventory: Inventory) -> Iterator[Garbage]:
    """Yield the epoch before the last of complete trials: what a damaged checkpoint would be mended from.

    Of a trial whose checkpoint is damaged it stays.
    """
    for sweep in filter(lambda sweep: sweep.is_judged, inventory.sweeps):
        for key in sorted({record.key for record in sweep.records if record.outcome is Outcome.COMPLETE}):
            weights = sweep.folder.checkpoints / key / CHECKPOINT_FILE
            copy = previous_file(weights)
            if copy.is_file() and is_inside(copy, inventory.runs) and fault_of_seal(weights) is None:
                yield Garbage(kind=Kind.SECOND_COPY, path=copy, bytes=bytes_of(copy), sweep=sweep.name)


def half_written_files(inventory: Inventory) -> Iterator[Garbage]:
    """Yield what a writer that was killed has left: beside the journals and checkpoints of sweeps, and of pages."""
    for sweep in inventory.idle:
        folder = sweep.folder
        yield from _half_written(folder.path, inventory, name=_OF_A_SWEEP, seconds=AT_REST_SECONDS, sweep=sweep)
        for path in _folders(folder.checkpoints, inventory.runs):
            name = re.compile(re.escape(CHECKPOINT_FILE))
            yield from _half_written(path, inventory, name=name, seconds=AT_REST_SECONDS, sweep=sweep)
    # Whoever writes these holds no sweep.
    yield from _half_written(inventory.runs, inventory, name=_OF_RUNS, seconds=_OLD_SECONDS, sweep=None)


def _half_written(
    folder: Path, inventory: Inventory, *, name: re.Pattern[str], seconds: float, sweep: SweepInventory | None
) -> Iterator[Garbage]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        match = _HALF_WRITTEN.fullmatch(path.name)
        if match is None or not name.fullmatch(match["name"]) or not is_inside(path, inventory.runs):
            continue
        about = path.lstat()
        if path.is_file() and time.time() - about.st_mtime > seconds:
            owner = None if sweep is None else sweep.name
            yield Garbage(kind=Kind.LEFT_OVER, path=path, bytes=bytes_of(path), sweep=owner)


def _folders(parent: Path, runs: Path) -> list[Path]:
    if not parent.is_dir() or not is_inside(parent, runs):
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and is_inside(path, runs))
