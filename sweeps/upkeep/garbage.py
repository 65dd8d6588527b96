"""Files under a runs folder that nothing refers to: where they are, and how many bytes each frees."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


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


def bytes_of(path: Path) -> int:
    """Return how many bytes deleting a file or a folder frees: a file that has another name elsewhere frees none.

    What a link leads to is not counted: deleting a link leaves it as it is.
    """
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    names: Counter[tuple[int, int]] = Counter()
    for about in _everything_in(path):
        if stat.S_ISREG(about.st_mode):
            inode = (about.st_dev, about.st_ino)
            names[inode] += 1
            sizes[inode] = (about.st_size, about.st_nlink)
    return sum(size for inode, (size, links) in sizes.items() if names[inode] >= links)


def _everything_in(path: Path) -> Iterator[os.stat_result]:
    try:
        about = path.lstat()
    except OSError:
        return
    yield about
    if stat.S_ISDIR(about.st_mode):
        try:
            entries = list(path.iterdir())
        except OSError:
            return
        for entry in entries:
            yield from _everything_in(entry)


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
