"""`sweeps gc`: what nothing refers to under a runs folder, a function a kind; found, held, and freed."""

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

from cifar_core.common.files import previous_file
from cifar_core.common.seal import fault_of_seal
from sweeps.core.errors import RecordError, SweepBusyError, SweepError
from sweeps.core.trial import Outcome
from sweeps.record.deleted_runs import find_deleted_runs, forget_deleted_runs
from sweeps.store.folder import CHECKPOINT_FILE, SweepFolder
from sweeps.upkeep.inventory import Inventory, SweepInventory

AT_REST_SECONDS = 600
"""What was changed less long ago may be used still: by a worker that outlives its driver for a moment."""
_OLD_SECONDS = 24 * 3600
_HALF_WRITTEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}")
"""What `cifar_core.common.files.atomic_write` writes to before it is renamed."""
_KEY = re.compile(r"[0-9a-f]{16}")
"""What somebody has put beside them, such as a copy, is not ours to delete."""
_OF_A_SWEEP = re.compile(r"journal\.log.*|driver\.json")
_OF_RUNS = re.compile(r".+\.(csv|html|json|jsonl|md|png|svg)")
RERUNS = "reruns"
"""Where `sweeps rerun` trains, below the runs folder; a folder stays there when it is interrupted."""


class Kind(StrEnum):
    """Why something is garbage."""

    ORPHAN = "checkpoints that no trial goes on from"
    SECOND_COPY = "second copies of the checkpoints of complete trials"
    LEFT_OVER = "half-written files"
    DELETED_RUN = "what runs deleted in MLflow hold"
    RERUN = "scratch folders of interrupted reruns"


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One file or folder that can go."""

    kind: Kind
    path: Path
    bytes: int
    why: str = ""
    """In a word or two: `pruned`."""
    sweep: str | None = None
    """Whose lock is to be held when it goes; None for what belongs to no sweep."""
    run_ids: tuple[str, ...] = ()
    """Of deleted runs, whose rows in the database `path` go; empty for whatever is a file or a folder."""


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
    if any(sweep.driver for sweep in inventory.sweeps):
        skipped.append("what runs deleted in MLflow hold is not looked at while a sweep writes there")
    found: list[Garbage] = []
    for search in _SEARCHES:
        try:
            found += search(inventory)
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
                locks.enter_context(SweepFolder(runs.resolve(), name).locked(doing="cleaned", needs_space=False))
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


def orphaned_checkpoints(inventory: Inventory) -> Iterator[Garbage]:
    """Yield the checkpoints that no trial resumes from and no prediction needs.

    Kept is what belongs to a complete or an unfinished trial of the sweep, of whichever of its studies, or of the
    record alone: a trial that a repaired journal has lost is proposed again, and resumes. And the weights of every run
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


def _second_copies(inventory: Inventory) -> Iterator[Garbage]:
    """Yield the epoch before the last of complete trials: what a damaged checkpoint would be mended from.

    Of a trial whose checkpoint is damaged it stays.
    """
    for sweep in filter(lambda sweep: sweep.is_judged, inventory.sweeps):
        for key in sorted({record.key for record in sweep.records if record.outcome is Outcome.COMPLETE}):
            weights = sweep.folder.checkpoints / key / CHECKPOINT_FILE
            copy = previous_file(weights)
            if copy.is_file() and is_inside(copy, inventory.runs) and fault_of_seal(weights) is None:
                yield Garbage(kind=Kind.SECOND_COPY, path=copy, bytes=bytes_of(copy), sweep=sweep.name)


def _half_written_files(inventory: Inventory) -> Iterator[Garbage]:
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


def _interrupted_reruns(inventory: Inventory) -> Iterator[Garbage]:
    parent = inventory.runs / RERUNS
    if not parent.is_dir() or not is_inside(parent, inventory.runs):
        return
    for path in sorted(parent.iterdir()):
        if path.is_dir() and is_inside(path, inventory.runs) and _is_at_rest(path):
            yield Garbage(kind=Kind.RERUN, path=path, bytes=bytes_of(path))


def _is_at_rest(folder: Path) -> bool:
    """Return whether no process trains in a scratch folder: its lock is free, or there is none and nothing is new."""
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


def _of_deleted_runs(inventory: Inventory) -> Iterator[Garbage]:
    is_written = any(sweep.driver for sweep in inventory.sweeps)
    deleted = None if is_written else find_deleted_runs(inventory.runs)
    if deleted is None:
        return
    # The artifacts first: the rows say where they are, also to the next call after one that was killed in between.
    owners = {*deleted.run_ids, *deleted.model_ids}
    for path in deleted.artifacts:
        folder = path.parent if path.parent.name in owners else path
        if folder.is_dir() and is_inside(folder, inventory.runs) and folder.name in owners:
            yield Garbage(kind=Kind.DELETED_RUN, path=folder, bytes=bytes_of(folder))
    yield Garbage(kind=Kind.DELETED_RUN, path=deleted.file, bytes=deleted.bytes, run_ids=deleted.run_ids)


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


def bytes_of(path: Path) -> int:
    """Return how many bytes deleting a file or a folder frees: a file that has another name elsewhere frees none.

    What a link leads to is not counted: deleting a link leaves it as it is.
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
    """Return whether a path lies under the runs folder with no link on its way, and is none itself.

    Args:
        path: as a whole path.
        runs: the runs folder, resolved.
    """
    return path != runs and path.is_relative_to(runs) and path.resolve() == path and ".." not in path.parts


def newest_change(path: Path) -> float:
    """Return when anything in a file or folder was last changed, as Unix time; 0 where there is nothing."""
    return max((about.st_mtime for about in _everything_in(path)), default=0.0)


def total(found: Iterable[Garbage]) -> int:
    """Return the bytes of all of it."""
    return sum(each.bytes for each in found)


_SEARCHES: Sequence[Callable[[Inventory], Iterator[Garbage]]] = (
    orphaned_checkpoints,
    _second_copies,
    _half_written_files,
    _interrupted_reruns,
    _of_deleted_runs,
)
"""One for each kind; what deleted runs hold last: its rows say where their artifacts are."""
