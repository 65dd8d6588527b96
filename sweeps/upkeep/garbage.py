"""`sweeps gc`: finds and deletes unreferenced files in a runs folder, with one function per kind."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import filelock

from cifar_core.common.checksum_file import checksum_fault
from cifar_core.common.files import previous_file
from sweeps.core.errors import RecordError, SweepBusyError, SweepError
from sweeps.core.task import FILES
from sweeps.core.trial import Outcome
from sweeps.record.deleted_runs import find_deleted_runs, purge_deleted_runs
from sweeps.store.folder import CHECKPOINT_FILE, SweepFolder
from sweeps.upkeep.inventory import Inventory, SweepInventory

MIN_AGE_SECONDS = 600
"""Newer files may still be in use by a worker that outlives its driver briefly."""
_OLD_SECONDS = 24 * 3600
_HALF_WRITTEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}")
"""Names of the temporary files of `cifar_core.common.files.atomic_write`."""
_KEY = re.compile(r"[0-9a-f]{16}")
"""Names of checkpoint folders. Other folders, such as copies made by users, are not deleted."""
_OF_A_SWEEP = re.compile(r"journal\.log.*|driver\.json")
_OF_RUNS = re.compile(r".+\.(csv|html|json|jsonl|md|png|svg)")
RERUNS = "reruns"
"""Folder in the runs folder in which `sweeps rerun` trains. An interrupted rerun leaves a folder there."""


class Kind(StrEnum):
    """The kind of garbage."""

    ORPHAN = "checkpoints that no trial needs"
    SECOND_COPY = "second copies of the checkpoints of complete trials"
    LEFT_OVER = "incomplete files"
    DELETED_RUN = "data of runs deleted in MLflow"
    RERUN = "scratch folders of interrupted reruns"


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One file or folder that can be deleted."""

    kind: Kind
    path: Path
    bytes: int
    why: str = ""
    """Short reason, such as `pruned`."""
    sweep: str | None = None
    """Sweep whose lock is held while it is deleted; None if it belongs to no sweep."""
    run_ids: tuple[str, ...] = ()
    """Ids of deleted runs whose rows in the database `path` are removed; empty for a file or a folder."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """The garbage of a runs folder, and what was not checked."""

    found: tuple[Garbage, ...]
    skipped: tuple[str, ...]
    """Messages, such as on a running sweep or a damaged journal."""


def find_garbage(runs: Path, *, held: Sequence[str] = ()) -> Collection:
    """Return the garbage of a runs folder. Deletes nothing.

    Excluded are weights of complete runs, files of sweeps that other processes hold, and targets of links.

    Args:
        runs: The runs folder.
        held: Sweeps whose locks the caller holds.
    """
    inventory = Inventory(runs, held=held)
    skipped = [f"{sweep.name} is being {sweep.holder}" for sweep in inventory.sweeps if sweep.driver]
    if inventory.unknown_reason is not None:
        skipped.append(f"all checkpoints, because {inventory.unknown_reason} (run `sweeps doctor` for details)")
    if any(sweep.driver for sweep in inventory.sweeps):
        skipped.append(f"{Kind.DELETED_RUN}, because a running sweep writes to the record")
    found: list[Garbage] = []
    for search in _SEARCHES:
        try:
            found += search(inventory)
        except RecordError as error:
            skipped.append(str(error))
    return Collection(found=tuple(found), skipped=tuple(skipped))


@contextlib.contextmanager
def locked_garbage(runs: Path) -> Iterator[Collection]:
    """Yield the garbage while holding the locks of its sweeps."""
    first = find_garbage(runs)
    held, busy = [], []
    with contextlib.ExitStack() as locks:
        for name in sorted({each.sweep for each in first.found if each.sweep is not None}):
            try:
                locks.enter_context(SweepFolder(runs.resolve(), name).locked(doing="cleaned", needs_space=False))
                held.append(name)
            except SweepBusyError as error:
                busy.append(str(error))
        # Searched again under the locks: a sweep may have resumed since.
        now = find_garbage(runs, held=held)
        found = tuple(each for each in now.found if each.sweep is None or each.sweep in held)
        yield replace(now, found=found, skipped=(*now.skipped, *busy))


def free(garbage: Garbage, *, runs: Path) -> int:
    """Delete a piece of garbage; return the number of bytes freed, 0 if it no longer exists.

    Raises:
        SweepError: It cannot be deleted.
    """
    if garbage.run_ids or garbage.path.name == "mlflow.db":
        return purge_deleted_runs(garbage.path)
    if not is_inside(garbage.path, runs.resolve()):
        raise SweepError(f"{garbage.path} is now outside {runs} (through a link) and was not deleted.")
    size = bytes_of(garbage.path)
    try:
        with _rerun_lock(garbage):
            if garbage.path.is_dir():
                shutil.rmtree(garbage.path)
            else:
                garbage.path.unlink(missing_ok=True)
    except OSError as error:
        raise SweepError(
            f"{garbage.path} cannot be deleted ({error.strerror or error}). Check its owner and permissions."
        ) from None
    return size


def orphaned_checkpoints(inventory: Inventory) -> Iterator[Garbage]:
    """Yield the checkpoints from which no trial resumes and which no prediction needs.

    Checkpoints are kept for complete and unfinished trials of all studies of the sweep, for unfinished trials that are
    only in the record (a repaired journal has lost them, and they resume when proposed again), and for runs that are
    complete in any sweep. Held sweeps are skipped. If `Inventory.unknown_reason` is set, nothing is yielded.
    """
    if inventory.unknown_reason is not None or inventory.review is None:
        return
    for sweep in filter(lambda sweep: sweep.is_checkable, inventory.sweeps):
        outcomes = {record.key: record.outcome.value for record in sweep.records}
        lost = inventory.review.unfinished_keys(sweep=sweep.name) - outcomes.keys()
        kept = sweep.kept_keys | inventory.complete_keys | lost
        for path in _folders(sweep.folder.checkpoints, inventory.runs):
            if path.name not in kept and _is_checkpoint_folder(path):
                why = outcomes.get(path.name, "belongs to no trial")
                yield Garbage(kind=Kind.ORPHAN, path=path, bytes=bytes_of(path), why=why, sweep=sweep.name)


def _is_checkpoint_folder(folder: Path) -> bool:
    """Return whether a folder's name is a key and it contains only files of a trial."""
    weights = folder / CHECKPOINT_FILE
    known = {weights.name, previous_file(weights).name, FILES}
    return _KEY.fullmatch(folder.name) is not None and all(
        path.name in known or _HALF_WRITTEN.fullmatch(path.name) for path in folder.iterdir()
    )


def _second_copies(inventory: Inventory) -> Iterator[Garbage]:
    """Yield the previous checkpoints of complete trials, except if the last one is damaged."""
    for sweep in filter(lambda sweep: sweep.is_checkable, inventory.sweeps):
        for key in sorted({record.key for record in sweep.records if record.outcome is Outcome.COMPLETE}):
            weights = sweep.folder.checkpoints / key / CHECKPOINT_FILE
            copy = previous_file(weights)
            if copy.is_file() and is_inside(copy, inventory.runs) and checksum_fault(weights) is None:
                yield Garbage(kind=Kind.SECOND_COPY, path=copy, bytes=bytes_of(copy), sweep=sweep.name)


def _half_written_files(inventory: Inventory) -> Iterator[Garbage]:
    """Yield temporary files of killed writers, next to journals, checkpoints and pages."""
    for sweep in inventory.idle:
        folder = sweep.folder
        yield from _half_written(folder.path, inventory, name=_OF_A_SWEEP, seconds=MIN_AGE_SECONDS, sweep=sweep)
        for path in _folders(folder.checkpoints, inventory.runs):
            name = re.compile(re.escape(CHECKPOINT_FILE))
            yield from _half_written(path, inventory, name=name, seconds=MIN_AGE_SECONDS, sweep=sweep)
    # Writers of these files hold no lock.
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


def _interrupted_reruns(inventory: Inventory) -> Iterator[Garbage]:
    parent = inventory.runs / RERUNS
    if not parent.is_dir() or not is_inside(parent, inventory.runs):
        return
    for path in sorted(parent.iterdir()):
        if path.is_dir() and is_inside(path, inventory.runs) and _is_unused(path):
            yield Garbage(kind=Kind.RERUN, path=path, bytes=bytes_of(path))


def _is_unused(folder: Path) -> bool:
    """Return whether no process trains in a scratch folder: its lock is free, or it has none and no new files."""
    locks = list(folder.glob("*.lock"))
    if not locks:
        return time.time() - newest_change(folder) > MIN_AGE_SECONDS
    try:
        with contextlib.ExitStack() as held:
            for lock in locks:
                held.enter_context(filelock.FileLock(lock).acquire(blocking=False))
    except (filelock.Timeout, OSError):
        return False
    return True


def _of_deleted_runs(inventory: Inventory) -> Iterator[Garbage]:
    is_written = any(sweep.driver for sweep in inventory.sweeps)
    deleted = None if is_written else find_deleted_runs(inventory.runs)
    if deleted is None:
        return
    # Artifacts first: their paths are in the rows, which the next call needs if this one is killed.
    owners = {*deleted.run_ids, *deleted.model_ids}
    for path in deleted.artifacts:
        folder = path.parent if path.parent.name in owners else path
        if folder.is_dir() and is_inside(folder, inventory.runs) and folder.name in owners:
            yield Garbage(kind=Kind.DELETED_RUN, path=folder, bytes=bytes_of(folder))
    yield Garbage(kind=Kind.DELETED_RUN, path=deleted.file, bytes=deleted.bytes, run_ids=deleted.run_ids)


@contextlib.contextmanager
def _rerun_lock(garbage: Garbage) -> Iterator[None]:
    """Hold the lock of a scratch folder while it is deleted."""
    with contextlib.ExitStack() as held:
        if garbage.kind is Kind.RERUN:
            for lock in garbage.path.glob("*.lock"):
                try:
                    held.enter_context(filelock.FileLock(lock).acquire(blocking=False))
                except filelock.Timeout:
                    raise SweepError(f"{garbage.path} is in use by a rerun and was not deleted") from None
        yield


def bytes_of(path: Path) -> int:
    """Return the number of bytes that deleting a file or a folder frees.

    A file with another hard link elsewhere, and the target of a symbolic link, are not counted.
    """
    files = [about for about in _everything_in(path) if stat.S_ISREG(about.st_mode)]
    names = Counter((about.st_dev, about.st_ino) for about in files)
    inodes = {(about.st_dev, about.st_ino): about for about in files}
    return sum(about.st_size for inode, about in inodes.items() if names[inode] >= about.st_nlink)


def _everything_in(path: Path) -> Iterator[os.stat_result]:
    for each in [path] if path.is_symlink() else [path, *path.rglob("*")]:
        with contextlib.suppress(OSError):
            yield each.lstat()


def is_inside(path: Path, runs: Path) -> bool:
    """Return whether a path is inside the runs folder, without symbolic links.

    Args:
        path: Absolute path.
        runs: The resolved runs folder.
    """
    return path != runs and path.is_relative_to(runs) and path.resolve() == path and ".." not in path.parts


def newest_change(path: Path) -> float:
    """Return the Unix time of the last change in a file or folder; 0 if it does not exist."""
    return max((about.st_mtime for about in _everything_in(path)), default=0.0)


def total(found: Iterable[Garbage]) -> int:
    """Return the size in bytes."""
    return sum(each.bytes for each in found)


_SEARCHES: Sequence[Callable[[Inventory], Iterator[Garbage]]] = (
    orphaned_checkpoints,
    _second_copies,
    _half_written_files,
    _interrupted_reruns,
    _of_deleted_runs,
)
"""One per kind. Deleted runs last, since the rows contain the paths of the artifacts."""
