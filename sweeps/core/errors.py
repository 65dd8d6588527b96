"""Every exception of `sweeps` for users. Each message says what to do next."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sweeps.core.commands import command_on
from sweeps.core.formatting import listed


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
    """The runs folder, or the record, has no sweep of this name."""

    @classmethod
    def under(cls, runs: Path, name: str) -> NoSuchSweepError:
        """Return the error for a name that is not in a runs folder, with the closest names there."""
        sweeps = runs / "sweeps"
        known = sorted(path.name for path in sweeps.iterdir() if path.is_dir()) if sweeps.is_dir() else []
        known = [each for each in known if each != name]  # a folder without a journal is no sweep
        advice = f"Run `{command_on('list', runs=runs)}` to see all sweeps there."
        state = "has no sweeps" if runs.is_dir() else "does not exist"
        return cls._unknown(name, known, where=f"the runs folder {runs.resolve()}", empty=state, advice=advice)

    @classmethod
    def recorded(cls, location: str, name: str, known: Iterable[str]) -> NoSuchSweepError:
        """Return the error for a name that is not in the record at a location, with the closest names there."""
        known = sorted(known)
        advice = f"Recorded sweeps: {listed(known, most=6)}."
        return cls._unknown(name, known, where=f"the record at {location}", empty="has no sweeps", advice=advice)

    @classmethod
    def _unknown(cls, name: str, known: Sequence[str], *, where: str, empty: str, advice: str) -> NoSuchSweepError:
        if parents := [sweep for sweep in known if re.fullmatch(rf"{re.escape(sweep)}(-\d+(-s\d+)?|/.+)", name)]:
            return cls(f"{name!r} is a run of a sweep. Name the sweep: {parents[-1]}")
        if not known:
            return cls(f"no sweep {name!r}: {where} {empty}. {OTHER_FOLDER}")
        return cls(f"no sweep {name!r} in {where}.{did_you_mean(name, known)} {advice}")


OTHER_FOLDER = "Change to the folder in which you started the sweep, or add --runs FOLDER."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean quick or quick-2?` with at most three close names; empty if there is none."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(near)}?" if near else ""


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
