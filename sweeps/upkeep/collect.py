"""`sweeps gc`: what nothing refers to under a runs folder, held while the question is open, then freed."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import filelock

from sweeps.errors import RecordError, SweepBusyError, SweepError
from sweeps.study import SweepFolder
from sweeps.tracking import find_deleted_runs, forget_deleted_runs
from sweeps.upkeep.garbage import Garbage, Kind, bytes_of, is_inside, newest_change
from sweeps.upkeep.inventory import Inventory
from sweeps.upkeep.orphans import AT_REST_SECONDS, half_written_files, orphaned_checkpoints, second_copies

RERUNS = "reruns"
"""Where `sweeps rerun` trains, below the runs folder; a folder stays there when it is interrupted."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What can be freed, and what was left out."""

    found: tuple[Garbage, ...]
    skipped: tuple[str, ...]
    """Each in a sentence: a sweep that is running, a journal that is damaged."""


def find_garbage(runs: Path, *, held: Sequence[str] = ()) -> Collection:
    """Return what nothing refers to. Reads only.

    Never the weights of a complete run, nothing of a sweep that somebody holds, and nothing that a link leads to.

    Args:
        runs: the runs folder.
        held: sweeps that the caller itself holds.
    """
    inventory = Inventory(runs, held=held)
    skipped = [f"{sweep.name} is being {sweep.holder}: left alone" for sweep in inventory.sweeps if sweep.driver]
    if inventory.unknown is not None:
        skipped.append(f"no checkpoint is judged: {inventory.unknown} (`sweeps doctor` says more)")
    found = [
        *orphaned_checkpoints(inventory),
        *second_copies(inventory),
        *half_written_files(inventory),
        *_interrupted_reruns(inventory),
    ]
    if any(sweep.driver for sweep in inventory.sweeps):
        skipped.append("what runs deleted in MLflow hold is not looked at while a sweep writes there")
    else:
        try:
            found += _of_deleted_runs(inventory)
        except RecordError as error:
            skipped.append(str(error))
    return Collection(found=tuple(found), skipped=tuple(skipped))


@contextlib.contextmanager
def held_garbage(runs: Path) -> Iterator[Collection]:
    """Give what nothing refers to, and hold the sweeps that some of it belongs to: none begins within the block."""
    first = find_garbage(runs)
    held, busy = [], []
    with contextlib.ExitStack() as locks:
        for name in sorted({each.sweep for each in first.found if each.sweep is not None}):
            try:
                locks.enter_context(SweepFolder(runs.resolve(), name).locked(doing="cleaned", needs_room=False))
                held.append(name)
            except SweepBusyError as error:
                busy.append(str(error))
        # Anew, under the locks: what was garbage a moment ago may be taken up again.
        now = find_garbage(runs, held=held)
        found = tuple(each for each in now.found if each.sweep is None or each.sweep in held)
        yield replace(now, found=found, skipped=(*now.skipped, *busy))


def free(garbage: Garbage, *, runs: Path) -> int:
    """Delete it, and return how many bytes that freed. What is gone already frees none.

    Raises:
        SweepError: it cannot be deleted.
    """
    if garbage.run_ids or garbage.path.name == "mlflow.db":
        return forget_deleted_runs(garbage.path)
    if not is_inside(garbage.path, runs.resolve()):
        raise SweepError(f"{garbage.path} leads out of {runs} now: left alone")
    size = bytes_of(garbage.path)
    try:
        with _rerun_lock(garbage):
            if garbage.path.is_dir():
                shutil.rmtree(garbage.path)
            else:
                garbage.path.unlink(missing_ok=True)
    except OSError as error:
        raise SweepError(f"{garbage.path} cannot be deleted ({error.strerror or error}): see whose it is") from None
    return size


def _of_deleted_runs(inventory: Inventory) -> Iterator[Garbage]:
    deleted = find_deleted_runs(inventory.runs)
    if deleted is None:
        return
    # The artifacts first: the rows say where they are, also to the next call after one that was killed in between.
    owners = {*deleted.run_ids, *deleted.model_ids}
    for place in deleted.artifacts:
        folder = place.parent if place.parent.name in owners else place
        if folder.is_dir() and is_inside(folder, inventory.runs) and folder.name in owners:
            yield Garbage(kind=Kind.DELETED_RUN, path=folder, bytes=bytes_of(folder))
    yield Garbage(kind=Kind.DELETED_RUN, path=deleted.file, bytes=deleted.bytes, run_ids=deleted.run_ids)


def _interrupted_reruns(inventory: Inventory) -> Iterator[Garbage]:
    parent = inventory.runs / RERUNS
    if not parent.is_dir() or not is_inside(parent, inventory.runs):
        return
    for path in sorted(parent.iterdir()):
        if path.is_dir() and is_inside(path, inventory.runs) and _is_at_rest(path):
            yield Garbage(kind=Kind.RERUN, path=path, bytes=bytes_of(path))


def _is_at_rest(folder: Path) -> bool:
    """Return whether nobody trains in a scratch folder: its lock can be had, or there is none and nothing is new."""
    locks = list(folder.glob("*.lock"))
    if not locks:
        return time.time() - newest_change(folder) > AT_REST_SECONDS
    try:
        with contextlib.ExitStack() as held:
            for lock in locks:
                held.enter_context(filelock.FileLock(lock).acquire(blocking=False))
    except (filelock.Timeout, OSError):
        return False
    return True


@contextlib.contextmanager
def _rerun_lock(garbage: Garbage) -> Iterator[None]:
    """Hold a scratch folder while it goes, so that no rerun begins in half of it."""
    with contextlib.ExitStack() as held:
        if garbage.kind is Kind.RERUN:
            for lock in garbage.path.glob("*.lock"):
                try:
                    held.enter_context(filelock.FileLock(lock).acquire(blocking=False))
                except filelock.Timeout:
                    raise SweepError(f"{garbage.path} is being trained in now: left alone") from None
        yield
