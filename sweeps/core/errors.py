"""Every exception of `sweeps` for users. Each message says what to do next."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from pathlib import Path


class SweepError(Exception):
    """Base class of errors that a user can act on. The command line prints the message and exits with code 2."""


class SpecError(SweepError):
    """A sweep or ladder file is invalid. Lists every error with its key, value and the allowed values."""

    def __init__(self, path: Path | str, errors: Sequence[str]) -> None:
        self.path = str(path)
        self.errors = tuple(errors)
        super().__init__("\n".join(f"{self.path}: {error}" for error in self.errors))


class StudyChangedError(SweepError):
    """A sweep of this name exists with another space, base or metric."""


class CodeChangedError(SweepError):
    """The custom network's code differs from the code that a recorded run was trained with."""


class SweepBusyError(SweepError):
    """Another driver is running this sweep."""


class NoSuchSweepError(SweepError):
    """The runs folder has no sweep of this name."""

    @classmethod
    def under(cls, runs: Path, name: str) -> NoSuchSweepError:
        """Return the error for a name. If it is the name of a trial, the message names its sweep."""
        part_of = re.fullmatch(r"(.+)-\d+(-s\d+)?", name)
        if part_of and (runs / "sweeps" / part_of[1]).is_dir():
            return cls(f"{name!r} is a trial, not a sweep. Name its sweep: {part_of[1]}")
        return cls(f"no sweep {name!r} under {runs}. Run `sweeps list` to see the sweeps there.")


class StoreError(SweepError):
    """A folder or a file of the sweep cannot be written, or has unexpected content."""


class DiskFullError(StoreError):
    """The disk is full. Everything that was written before is intact."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(
            f"the disk of {path} is full. All finished epochs are saved. "
            "Free disk space, then run the same command again to resume."
        )


class LeaseLostError(StoreError):
    """Another driver has taken over the sweep. This one must not write to it any more."""


class SupersededError(SweepError):
    """Another worker has resumed the trial. This one was given up and must not overwrite newer results."""


class ProgramError(SweepError):
    """The program of a trial failed."""

    def __init__(self, message: str, *, output: str) -> None:
        """Make the error.

        Args:
            message: one line.
            output: the last lines that the program printed.
        """
        super().__init__(message)
        self.output = output


class ProgramLostError(SweepError):
    """The program of a trial ended because the process that watches it was killed."""


class StorageUnreachableError(StoreError):
    """A storage did not answer, or refused access, until the waiting time ended."""


class DamagedJournalError(StoreError):
    """A journal is damaged. The message names the line and how to repair it."""


class UnsupportedFormatError(StoreError):
    """A sweep is stored in a format that this version does not read."""


class RecordError(SweepError):
    """The record cannot be opened, written or read. The message names the storage and what to do."""


class DamagedRecordError(RecordError):
    """The record's file is damaged. It is moved aside and rebuilt from the journals."""


class LeaderboardError(SweepError):
    """A filter, a sort order or a limit of the leaderboard is invalid. Names the closest known columns."""


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether an exception, or its cause, reports a full disk or an exhausted disk quota."""
    while error is not None:
        if isinstance(error, DiskFullError):
            return True
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
