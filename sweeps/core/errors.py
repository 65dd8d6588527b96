"""Every exception of `sweeps` that speaks to a user. Each message says what to do next."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from pathlib import Path


class SweepError(Exception):
    """Base of the errors that a user can act on; the command line prints it and exits with code 2."""


class SpecError(SweepError):
    """A file that says what to run is wrong. Lists every error with its key, value and what is allowed."""

    def __init__(self, path: Path | str, errors: Sequence[str]) -> None:
        self.path = str(path)
        self.errors = tuple(errors)
        super().__init__("\n".join(f"{self.path}: {error}" for error in self.errors))


class StudyChangedError(SweepError):
    """A sweep of this name was begun with another space, base or metric."""


class CodeChangedError(SweepError):
    """A recorded run was trained with other code of the user's own network than there is now."""


class SweepBusyError(SweepError):
    """Another driver runs this sweep."""


class NoSuchSweepError(SweepError):
    """There is no sweep of this name under the runs folder."""

    @classmethod
    def under(cls, runs: Path, name: str) -> NoSuchSweepError:
        """Return the error for a name; where it is that of a trial it says which sweep to name."""
        part_of = re.fullmatch(r"(.+)-\d+(-s\d+)?", name)
        if part_of and (runs / "sweeps" / part_of[1]).is_dir():
            return cls(f"{name!r} is no sweep, but a part of one: name the sweep, {part_of[1]}")
        return cls(f"no sweep {name!r} under {runs}: `sweeps list` shows what there is")


class StoreError(SweepError):
    """A folder or a file of the sweep cannot be written, or holds something that was never written."""


class DiskFullError(StoreError):
    """There is no room left for what has to be written. What was written before is whole."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(
            f"the disk that holds {path} is full: everything up to here is saved; "
            "make room, and the same command goes on"
        )


class LeaseLostError(StoreError):
    """Another driver has taken a sweep over: this one must not write it any more."""


class SupersededError(SweepError):
    """Another worker goes on with a trial: this one was given up, and must not write what is older."""


class StorageUnreachableError(StoreError):
    """A storage does not answer, or refuses, for longer than it is waited for."""


class DamagedJournalError(StoreError):
    """A journal holds something that was never written to it. Names the line and what can be done."""


class UnsupportedFormatError(StoreError):
    """A sweep was begun by a version that stores in a format which this one does not read."""


class RecordError(SweepError):
    """The record cannot be opened, written or read. The message names the store and what to do."""


class DamagedRecordError(RecordError):
    """The record's file is none any more: it is moved aside and written anew from the journals."""


class LeaderboardError(SweepError):
    """A filter, a sort order or a limit of the leaderboard that cannot be used. Names the closest known columns."""


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an exception comes from a disk, or a user's share of it, without room."""
    while error is not None:
        if isinstance(error, DiskFullError):
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
